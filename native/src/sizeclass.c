/*
 * sizeclass.c: spans, their slots, the places of objects.
 *
 * Owns: the spans and their slots.  Borrows: frames.
 * Invariants: 1. a span is listed in its class iff it has a free slot and is not sealed.  2. all frames
 * of a span lie in one chunk, are PACKED and name the span as their owner.  3. an empty span does not
 * exist between two calls, but for one just added.  4. class.free_slots is the sum over listed spans; a class is open
 * iff it lists one.
 * Locks: the store's.
 */
#include "sizeclass.h"

/* Spans with room looked at for one in a usable chunk. */
#define PLACE_LOOK 8

/* What malloc adds, where it is glibc's; elsewhere about as much. */
#define MALLOC_HEADER 8
#define MALLOC_ALIGN 16

static uint32_t class_of(uint32_t bytes)
{
	return bytes ? (bytes - 1) >> UNIT_SHIFT : 0;
}

static uint32_t class_bytes(uint32_t class_id)
{
	return (class_id + 1) << UNIT_SHIFT;
}

static struct link *span_link(const void *spans, uint32_t id)
{
	return &((struct span *)slab_at(spans, id))->link;
}

static uint32_t group_frames(uint32_t size)
{
	uint32_t best = 1;
	uint32_t best_waste = UINT32_MAX;

	for (uint32_t n = 1; n <= SPAN_FRAMES; n++) {
		uint32_t waste = (n * TMS_PAGE_SIZE % size) * SPAN_FRAMES / n;

		if (waste < best_waste) {
			best = n;
			best_waste = waste;
		}
	}
	return best;
}

uint32_t packing_span_frames(uint32_t bytes)
{
	uint32_t size = class_bytes(class_of(bytes));
	uint32_t frames = group_frames(size);
	uint32_t objects = frames * TMS_PAGE_SIZE / size;
	uint32_t groups = SPAN_FRAMES / frames;

	while (groups > 1 && groups * objects > SPAN_OBJECTS)
		groups--;
	return groups * frames;
}

void packing_init(struct packing *packing, struct frame_table *frames)
{
	*packing = (struct packing){ .frames = frames };
	slab_init(&packing->spans, sizeof(struct span));
	for (uint32_t c = 0; c < SIZE_CLASSES; c++) {
		uint32_t group = group_frames(class_bytes(c));

		packing->class[c].group_frames = (uint8_t)group;
		packing->class[c].group_objects = (uint8_t)(group * TMS_PAGE_SIZE / class_bytes(c));
	}
}

void packing_deinit(struct packing *packing)
{
	for (uint32_t id = 1; id < packing->spans.end; id++)
		if (packing_span(packing, id)->frames)
			free(packing_span(packing, id)->slot);
	slab_deinit(&packing->spans);
}

static void enlist(struct packing *packing, uint32_t id, struct span *span)
{
	struct size_class *class = &packing->class[span->class_id];

	if (span->listed || span->sealed || span->used == span->capacity)
		return;
	list_push_front(&class->with_room, &packing->spans, span_link, id);
	class->free_slots += (uint64_t)span->capacity - span->used;
	packing->open |= UINT64_C(1) << span->class_id;
	span->listed = true;
}

static void delist(struct packing *packing, uint32_t id, struct span *span)
{
	struct size_class *class = &packing->class[span->class_id];

	if (!span->listed)
		return;
	list_remove(&class->with_room, &packing->spans, span_link, id);
	class->free_slots -= (uint64_t)span->capacity - span->used;
	if (!class->with_room.count)
		packing->open &= ~(UINT64_C(1) << span->class_id);
	span->listed = false;
}

/* The slots of a span and its home. */
static size_t slot_bytes(uint32_t capacity, uint32_t frames)
{
	return capacity * sizeof(uint32_t) + sizeof(struct span_home) + frames * sizeof(uint16_t);
}

static uint64_t counted_slot_bytes(uint32_t capacity, uint32_t frames)
{
	return round_up_u64(slot_bytes(capacity, frames) + MALLOC_HEADER, MALLOC_ALIGN);
}

bool packing_add_span(struct packing *packing, uint32_t bytes, uint32_t chunk, uint32_t frames)
{
	uint32_t class_id = class_of(bytes);
	const struct size_class *class = &packing->class[class_id];
	uint32_t capacity = frames / class->group_frames * class->group_objects +
			    frames % class->group_frames * TMS_PAGE_SIZE / class_bytes(class_id);
	uint32_t *slot = malloc(slot_bytes(capacity, frames));
	uint32_t id = slot ? slab_alloc(&packing->spans) : 0;
	uint32_t pfn = chunk << CHUNK_SHIFT;
	struct span *span;

	if (!id) {
		free(slot);
		return false;
	}
	span = packing_span(packing, id);
	span->class_id = (uint8_t)class_id;
	span->frames = frames & 0xf;
	span->capacity = (uint16_t)capacity;
	span->slot = slot;
	span_home(span)->first = pfn;
	for (uint32_t i = 0; i < capacity; i++)
		slot[i] = SLOT_FREE | (i + 1 < capacity ? i + 1 : SLOT_NONE);
	for (uint32_t f = 0; f < frames; f++) {
		pfn = frame_next_free(packing->frames, pfn);
		frame_take(packing->frames, pfn, FRAME_PACKED, id);
		span_home(span)->frame[f] = (uint16_t)(pfn - (chunk << CHUNK_SHIFT));
	}
	packing->slot_bytes += counted_slot_bytes(capacity, frames);
	enlist(packing, id, span);
	return true;
}

static void free_span(struct packing *packing, uint32_t id, struct span *span)
{
	delist(packing, id, span);
	for (uint32_t f = 0; f < span->frames; f++)
		frame_release(packing->frames, span_pfn(span, f));
	packing->slot_bytes -= counted_slot_bytes(span->capacity, span->frames);
	free(span->slot);
	slab_free(&packing->spans, id);
}

uint32_t packing_slot_place(const struct packing *packing, const struct span *span, uint32_t slot)
{
	const struct size_class *class = &packing->class[span->class_id];
	uint32_t group = slot / class->group_objects;
	uint32_t in_group = slot - group * class->group_objects;
	uint32_t at = (group * class->group_frames << PAGE_SHIFT) + in_group * span_class_bytes(span);

	return span_pfn(span, at >> PAGE_SHIFT) << UNITS_SHIFT | (at & (TMS_PAGE_SIZE - 1)) >> UNIT_SHIFT;
}

/* The byte offset in the span of the object at place. */
static uint32_t offset_of(const struct span *span, uint32_t place)
{
	uint32_t pfn = place >> UNITS_SHIFT;
	uint32_t f = 0;

	while (span_pfn(span, f) != pfn)
		f++;
	return f << PAGE_SHIFT | (place & ((1U << UNITS_SHIFT) - 1)) << UNIT_SHIFT;
}

/* The slot whose object begins at place, or SLOT_NONE. */
static uint32_t slot_of(const struct packing *packing, const struct span *span, uint32_t place)
{
	const struct size_class *class = &packing->class[span->class_id];
	uint32_t at = offset_of(span, place);
	uint32_t group = (at >> PAGE_SHIFT) / class->group_frames;
	uint32_t in_group = at - (group * class->group_frames << PAGE_SHIFT);
	uint32_t slot = in_group / span_class_bytes(span);

	if (in_group % span_class_bytes(span) || slot >= class->group_objects)
		return SLOT_NONE;
	return group * class->group_objects + slot;
}

/* The first span with room whose chunk is usable; those passed over go to the end of the list, so that they
 * are not looked at again and again. */
static uint32_t usable_span(struct packing *packing, struct size_class *class, frame_chunk_fn usable, const void *context)
{
	for (uint32_t look = 0; look < PLACE_LOOK && class->with_room.first; look++) {
		uint32_t id = class->with_room.first;

		if (!usable || usable(context, span_pfn(packing_span(packing, id), 0) >> CHUNK_SHIFT))
			return id;
		if (id == class->with_room.last)
			break;
		list_remove(&class->with_room, &packing->spans, span_link, id);
		list_push_back(&class->with_room, &packing->spans, span_link, id);
	}
	return 0;
}

uint32_t packing_place(struct packing *packing, uint32_t bytes, uint32_t entry, frame_chunk_fn usable, const void *context)
{
	struct size_class *class = &packing->class[class_of(bytes)];
	uint32_t id = usable_span(packing, class, usable, context);
	struct span *span;
	uint32_t slot;

	if (!id)
		return PLACE_NONE;
	span = packing_span(packing, id);
	slot = span->free_first;
	span->free_first = (uint16_t)span->slot[slot];
	span->slot[slot] = entry;
	span->used++;
	class->free_slots--;
	if (span->used == span->capacity)
		delist(packing, id, span);
	return packing_slot_place(packing, span, slot);
}

void packing_remove(struct packing *packing, uint32_t place)
{
	uint32_t id = packing->frames->owner[place >> UNITS_SHIFT];
	struct span *span = packing_span(packing, id);
	uint32_t slot = slot_of(packing, span, place);

	span->slot[slot] = SLOT_FREE | span->free_first;
	span->free_first = (uint16_t)slot;
	span->used--;
	if (span->listed)
		packing->class[span->class_id].free_slots++;
	if (span->used == 0)
		free_span(packing, id, span);
	else
		enlist(packing, id, span);
}

struct pieces packing_pieces(const struct packing *packing, uint32_t place, uint32_t bytes)
{
	const struct frame_table *frames = packing->frames;
	uint32_t pfn = place >> UNITS_SHIFT;
	uint32_t in_frame = (place & ((1U << UNITS_SHIFT) - 1)) << UNIT_SHIFT;
	uint32_t first = TMS_PAGE_SIZE - in_frame;
	struct pieces pieces = { { frame_data(frames, pfn) + in_frame, NULL }, { bytes, 0 } };

	if (bytes > first) {
		const struct span *span = packing_span(packing, frames->owner[pfn]);

		pieces.bytes[0] = first;
		pieces.bytes[1] = bytes - first;
		pieces.at[1] = frame_data(frames, span_pfn(span, (offset_of(span, place) >> PAGE_SHIFT) + 1));
	}
	return pieces;
}

bool packing_owns(const struct packing *packing, uint32_t place, uint32_t entry)
{
	uint32_t pfn = place >> UNITS_SHIFT;
	const struct span *span;
	uint32_t id;
	uint32_t slot;

	if (pfn >= packing->frames->frames || frame_state(packing->frames, pfn) != FRAME_PACKED)
		return false;
	id = packing->frames->owner[pfn];
	if (id == 0 || id >= packing->spans.end || span_lowest_pfn(packing_span(packing, id), pfn) != pfn)
		return false;
	span = packing_span(packing, id);
	slot = slot_of(packing, span, place);
	return slot < span->capacity && span->slot[slot] == entry;
}

uint32_t span_next_used(const struct span *span, uint32_t slot, uint32_t *entry)
{
	while (slot < span->capacity && span->slot[slot] & SLOT_FREE)
		slot++;
	if (slot < span->capacity)
		*entry = span->slot[slot];
	return slot;
}

uint32_t span_lowest_pfn(const struct span *span, uint32_t from)
{
	uint32_t lowest = PFN_NONE;

	for (uint32_t f = 0; f < span->frames; f++)
		if (span_pfn(span, f) >= from && span_pfn(span, f) < lowest)
			lowest = span_pfn(span, f);
	return lowest;
}

void packing_seal(struct packing *packing, uint32_t id)
{
	struct span *span = packing_span(packing, id);

	delist(packing, id, span);
	span->sealed = true;
}

void packing_unseal(struct packing *packing, uint32_t id)
{
	struct span *span = packing_span(packing, id);

	span->sealed = false;
	enlist(packing, id, span);
}

uint64_t packing_bytes(const struct packing *packing)
{
	return slab_bytes(&packing->spans) + packing->slot_bytes;
}
