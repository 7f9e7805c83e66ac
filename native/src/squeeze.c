/*
 * squeeze.c: from an object as it is kept to the same page in the denser codec's form.
 *
 * Law: a codec call holds no lock.
 */
#include "squeeze.h"

#define TRY_EVERY 16

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

/* 0: it does not get smaller. */
static uint32_t compressed_size(tms_store *store, struct squeezed *object)
{
	const uint32_t limit = (uint32_t)min_u64(object->size - 1U, PACKED_MAX_BYTES);
	const uint8_t *whole = object->kept;
	uint8_t page[TMS_PAGE_SIZE];

	if (store->without_data) {
		const uint64_t size = ((uint64_t)object->size * store->denser_permille + 999) / 1000;

		return size <= limit ? (uint32_t)size : 0;
	}
	if (object->form & ENTRY_PACKED) {
		if (!codec_decompress(&store->codec, object->kept, object->size, page))
			return 0;
		whole = page;
	}
	return codec_compress(&store->denser, whole, object->packed, limit);
}

static void compress(tms_store *store, struct squeezed *object)
{
	uint32_t size;

	if (object->form & ENTRY_DENSE)
		return;
	size = compressed_size(store, object);
	/* In units, which is what it saves. */
	if (size && units_of(size) < units_of(object->size))
		object->packed_size = (uint16_t)size;
}

void squeeze_run(struct squeeze *squeeze, tms_store *store)
{
	for (uint32_t i = 0; i < squeeze->n; i++)
		compress(store, &squeeze->object[i]);
}

/* From the page tried last towards newer ones, round and round: neighbours are alike, all ages are not. */
static uint32_t next_to_try(tms_store *store)
{
	struct holdings *held = &store->held;
	uint32_t id = held->tried_id;

	if (id && id < held->index.entries.end) {
		const struct entry *entry = holdings_entry(held, id);

		if (entry->object && entry_is_only_copy(entry) && !reserve_has(&held->region->reserve, entry->place))
			id = aging_newer(&held->aging, id);
		else
			id = 0;
	}
	held->tried_id = id ? id : held->aging.list[AGE_UNCOPIED].last;
	return held->tried_id;
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
		uint32_t id = next_to_try(store);

		/* Every so many, so that a region is gone through in a few dozen calls. */
		for (uint32_t skip = 0; id && skip < SQUEEZE_OBJECTS * TRY_EVERY; skip++, id = aging_newer(&store->held.aging, id)) {
			store->held.tried_id = id;
			if (skip % TRY_EVERY == 0)
				(void)squeeze_take(squeeze, store, id);
		}
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
	uint8_t now[TMS_PAGE_SIZE];

	if (!entry->object || !entry_waits_for_copy(entry) || entry->place != object->place || entry->size != object->size)
		return false;
	if ((entry->flags & (ENTRY_PACKED | ENTRY_DENSE)) != object->form)
		return false;
	if (store->without_data) /* one thread drives it: nothing has changed in between */
		return true;
	region_read(store->held.region, entry->place, entry->size, object->form & ENTRY_PACKED, now);
	return !memcmp(now, object->kept, entry->size);
}
