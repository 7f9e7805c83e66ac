/*
 * squeeze.c: from an object as it is kept to the same page in the denser codec's form.
 *
 * Law: a codec call holds no lock.
 */
#include "squeeze.h"

bool squeeze_take(struct squeeze *squeeze, const tms_store *store, uint32_t id)
{
	const struct entry *entry = holdings_entry(&store->held, id);
	struct squeezed *object = &squeeze->object[squeeze->n];

	if (squeeze->n == SQUEEZE_OBJECTS)
		return false;
	object->id = id;
	object->place = entry->place;
	object->size = entry->size;
	object->form = entry->flags & (ENTRY_PACKED | ENTRY_DENSE);
	object->packed_size = 0;
	region_read(store->held.region, entry->place, entry->size, entry->flags & ENTRY_PACKED, object->kept);
	squeeze->n++;
	return true;
}

static void compress(tms_store *store, struct squeezed *object)
{
	uint8_t page[TMS_PAGE_SIZE];
	const uint8_t *whole = object->kept;
	uint32_t limit = object->size - 1U;
	uint32_t size;

	if (object->form & ENTRY_DENSE)
		return;
	if (object->form & ENTRY_PACKED) {
		if (!codec_decompress(&store->codec, object->kept, object->size, page))
			return;
		whole = page;
	}
	size = codec_compress(&store->denser, whole, object->packed, limit < PACKED_MAX_BYTES ? limit : PACKED_MAX_BYTES);
	/* In units, which is what it saves. */
	if (size && units_of(size) < units_of(object->size))
		object->packed_size = (uint16_t)size;
}

void squeeze_run(struct squeeze *squeeze, tms_store *store)
{
	for (uint32_t i = 0; i < squeeze->n; i++)
		compress(store, &squeeze->object[i]);
}

bool squeeze_is_current(const tms_store *store, const struct squeezed *object)
{
	const struct entry *entry = holdings_entry(&store->held, object->id);

	return entry->pool && entry_is_only_copy(entry) && !(entry->flags & ENTRY_WRITING) && entry->place == object->place &&
	       entry->size == object->size;
}
