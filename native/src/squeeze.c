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

int tms_sample_denser(tms_store *store, struct tms_denser_sample *ret)
{
	struct tms_denser_sample sample = { 0 };
	struct squeeze *squeeze = malloc(sizeof(*squeeze));
	int code = squeeze ? store_enter(store) : TMS_E_NO_MEMORY;

	if (code) {
		free(squeeze);
		return code;
	}
	squeeze->n = 0;
	if (codec_compresses(&store->denser)) {
		uint32_t id = store->held.aging.list[AGE_UNCOPIED].last;

		while (id && squeeze_take(squeeze, store, id))
			id = aging_newer(&store->held.aging, id);
	}
	store_leave(store);
	squeeze_run(squeeze, store);
	sample.objects = squeeze->n;
	for (uint32_t i = 0; i < squeeze->n; i++) {
		const struct squeezed *object = &squeeze->object[i];

		sample.bytes_before += (uint64_t)units_of(object->size) << UNIT_SHIFT;
		sample.bytes_after += (uint64_t)units_of(object->packed_size ? object->packed_size : object->size) << UNIT_SHIFT;
	}
	free(squeeze);
	*ret = sample;
	return TMS_OK;
}

bool squeeze_is_current(const tms_store *store, const struct squeezed *object)
{
	const struct entry *entry = holdings_entry(&store->held, object->id);

	return entry->pool && entry_is_only_copy(entry) && !(entry->flags & ENTRY_WRITING) && entry->place == object->place &&
	       entry->size == object->size;
}
