/*
 * ghost.c: re-use distances of a sample of the keys, a stack for each kind of page.
 *
 * Sampling by the hash of the key keeps all uses of a page or none, so that distances, scaled, are those of all pages
 * (C. Waldspurger, N. Park, A. Garthwaite, I. Ahmad, Efficient MRC Construction with SHARDS, FAST 2015).  What a share of
 * x frames holds under LRU is what is found at distances below x: Mattson's stack (R. Mattson, J. Gecsei, D. Slutz,
 * I. Traiger, Evaluation Techniques for Storage Hierarchies, 1970), with holes where pages were taken out.
 *
 * Owns: both stacks.
 * Invariants: 1. the tree holds the weight of each slot, and weight their sum.  2. a slot is in the chain of its hash iff
 * it holds a page.  3. a bit in holes is set iff its slot is a hole with weight.
 * Locks: the store's.
 */
#include <stdlib.h>
#include <string.h>

#include "ghost.h"

/* So many slots stand for a frame that is sampled: twice the region in pages of a third of a frame, and as many again
 * that are empty, between two compactions. */
#define SLOTS_PER_FRAME 16
#define SLOTS_MIN 1024
#define OWNERS 256
#define NONE UINT32_MAX
#define UNITS_PER_FRAME 64
#define BINS_PER_REGION (TMS_GHOST_BINS / 2)

enum slot_state { SLOT_EMPTY, SLOT_PAGE, SLOT_HOLE };

struct ghost_slot {
	uint64_t hash;
	uint32_t next; /* with the same low bits of the hash */
	uint32_t owner;
	uint16_t pool;
	uint16_t units;
	uint8_t state;
	uint8_t reach; /* the farthest bin that it was loaded from since it came: a smaller share has it no more */
};

/* ---- the tree ---------------------------------------------------------------------------------------- */

static void weigh(const struct ghost *ghost, struct ghost_stack *stack, uint32_t slot, int32_t units)
{
	stack->weight += (uint64_t)(int64_t)units;
	for (uint32_t at = slot + 1; at <= ghost->slots; at += at & -at)
		stack->tree[at - 1] += (uint32_t)units;
}

/* From the weight of each slot to the tree, all at once. */
static void sum_tree(const struct ghost *ghost, struct ghost_stack *stack)
{
	for (uint32_t at = 1; at <= ghost->slots; at++)
		if (at + (at & -at) <= ghost->slots)
			stack->tree[at + (at & -at) - 1] += stack->tree[at - 1];
}

/* Units behind the slot. */
static uint64_t distance(const struct ghost_stack *stack, uint32_t slot)
{
	uint64_t before = 0;

	for (uint32_t at = slot + 1; at; at &= at - 1)
		before += stack->tree[at - 1];
	return stack->weight - before;
}

/* ---- holes ------------------------------------------------------------------------------------------- */

static uint32_t last_hole(const struct ghost_stack *stack)
{
	for (uint32_t word = (stack->end + 63) / 64; word; word--)
		if (stack->holes[word - 1])
			return (word - 1) * 64 + 63 - (uint32_t)__builtin_clzll(stack->holes[word - 1]);
	return NONE;
}

/* What comes to the top pushes others down only as far as the next room. */
static void fill_holes(const struct ghost *ghost, struct ghost_stack *stack, uint32_t units)
{
	uint32_t at;

	while (units && (at = last_hole(stack)) != NONE) {
		struct ghost_slot *slot = &stack->slot[at];
		uint32_t taken = slot->units < units ? slot->units : units;

		weigh(ghost, stack, at, -(int32_t)taken);
		slot->units = (uint16_t)(slot->units - taken);
		units -= taken;
		if (slot->units)
			return;
		slot->state = SLOT_EMPTY;
		stack->holes[at / 64] &= ~(UINT64_C(1) << at % 64);
	}
}

/* ---- pages ------------------------------------------------------------------------------------------- */

static uint32_t *chain_of(const struct ghost *ghost, const struct ghost_stack *stack, uint64_t hash)
{
	return &stack->head[hash & (ghost->slots - 1)];
}

static uint32_t find(const struct ghost *ghost, const struct ghost_stack *stack, uint64_t hash)
{
	uint32_t at = *chain_of(ghost, stack, hash);

	while (at != NONE && stack->slot[at].hash != hash)
		at = stack->slot[at].next;
	return at;
}

static void unlink_page(const struct ghost *ghost, struct ghost_stack *stack, uint32_t at)
{
	const struct ghost_slot *slot = &stack->slot[at];
	uint32_t *link = chain_of(ghost, stack, slot->hash);

	while (*link != at)
		link = &stack->slot[*link].next;
	*link = slot->next;
	stack->pages_weight -= slot->units;
	stack->owners[slot->owner % OWNERS]--;
}

static void take_out(const struct ghost *ghost, struct ghost_stack *stack, uint32_t at)
{
	unlink_page(ghost, stack, at);
	stack->slot[at].state = SLOT_HOLE;
	stack->holes[at / 64] |= UINT64_C(1) << at % 64;
}

static void link_page(const struct ghost *ghost, struct ghost_stack *stack, uint32_t at)
{
	struct ghost_slot *slot = &stack->slot[at];
	uint32_t *head = chain_of(ghost, stack, slot->hash);

	slot->next = *head;
	*head = at;
	stack->pages_weight += slot->units;
	stack->owners[slot->owner % OWNERS]++;
}

/* The newest half of the slots, without the empty ones; the pages of the others are too far away to matter. */
static void compact(const struct ghost *ghost, struct ghost_stack *stack)
{
	const uint32_t most = ghost->slots / 2;
	uint32_t kept = 0;
	uint32_t from = stack->end;
	uint32_t end = 0;

	while (from && kept < most)
		kept += stack->slot[--from].state != SLOT_EMPTY;
	memset(stack->tree, 0, ghost->slots * sizeof(*stack->tree));
	memset(stack->head, 0xff, ghost->slots * sizeof(*stack->head));
	memset(stack->holes, 0, ghost->slots / 64 * sizeof(*stack->holes));
	memset(stack->owners, 0, OWNERS * sizeof(*stack->owners));
	stack->weight = stack->pages_weight = 0;
	for (; from < stack->end; from++) {
		if (stack->slot[from].state == SLOT_EMPTY)
			continue;
		stack->slot[end] = stack->slot[from];
		stack->weight += stack->tree[end] = stack->slot[end].units;
		if (stack->slot[end].state == SLOT_PAGE)
			link_page(ghost, stack, end);
		else
			stack->holes[end / 64] |= UINT64_C(1) << end % 64;
		end++;
	}
	stack->end = end;
	sum_tree(ghost, stack);
}

static void push(const struct ghost *ghost, struct ghost_stack *stack, const struct ghost_slot *page)
{
	fill_holes(ghost, stack, page->units);
	if (stack->end == ghost->slots)
		compact(ghost, stack);
	stack->slot[stack->end] = *page;
	stack->slot[stack->end].state = SLOT_PAGE;
	link_page(ghost, stack, stack->end);
	weigh(ghost, stack, stack->end, page->units);
	stack->end++;
	if (stack->pages_weight > stack->pages_most)
		stack->pages_most = stack->pages_weight;
}

/* ---- what is seen ------------------------------------------------------------------------------------ */

/* A swapped page that left for the device is loaded from there until it is stored anew. */
static uint8_t bin_of(const struct ghost *ghost, const struct ghost_stack *stack, uint32_t at)
{
	const uint64_t bin = min_u64(distance(stack, at) / ghost->bin_units, TMS_GHOST_BINS - 1);

	return (uint8_t)(bin > stack->slot[at].reach ? bin : stack->slot[at].reach);
}

/* A swap page that nobody will load any more: from a share that held it it was never written. */
static void count_freed(struct ghost *ghost, enum ghost_kind kind, uint32_t at)
{
	const struct ghost_stack *stack = &ghost->stack[kind];

	if (kind == GHOST_SWAP)
		ghost->seen.swap_freed_units[bin_of(ghost, stack, at)] += stack->slot[at].units;
}

void ghost_put(struct ghost *ghost, enum ghost_kind kind, uint64_t hash, uint16_t pool, uint32_t owner, uint32_t units)
{
	const struct ghost_slot page = { .hash = hash, .owner = owner, .pool = pool, .units = (uint16_t)units };
	struct ghost_stack *stack = &ghost->stack[kind];
	uint32_t at = find(ghost, stack, hash);

	if (at != NONE) {
		count_freed(ghost, kind, at);
		take_out(ghost, stack, at);
	}
	if (!units)
		return;
	push(ghost, stack, &page);
	ghost->seen.swap_stores += kind == GHOST_SWAP;
}

void ghost_get(struct ghost *ghost, enum ghost_kind kind, uint64_t hash, bool found, bool goes)
{
	struct ghost_stack *stack = &ghost->stack[kind];
	uint32_t at = find(ghost, stack, hash);
	struct ghost_slot page;
	uint64_t *bins;

	if (at == NONE) {
		ghost->seen.cold[kind]++;
		return;
	}
	bins = kind == GHOST_SWAP ? (found ? ghost->seen.swap_hits : ghost->seen.swap_misses) :
				    (found ? ghost->seen.clean_hits : ghost->seen.clean_misses);
	page = stack->slot[at];
	page.reach = bin_of(ghost, stack, at);
	bins[page.reach]++;
	if (kind == GHOST_CLEAN)
		page.reach = 0;
	take_out(ghost, stack, at);
	if (!goes)
		push(ghost, stack, &page);
}

void ghost_flush(struct ghost *ghost, enum ghost_kind kind, uint64_t hash)
{
	uint32_t at = find(ghost, &ghost->stack[kind], hash);

	if (at == NONE)
		return;
	count_freed(ghost, kind, at);
	take_out(ghost, &ghost->stack[kind], at);
}

void ghost_flush_object(struct ghost *ghost, enum ghost_kind kind, uint16_t pool, uint32_t owner)
{
	struct ghost_stack *stack = &ghost->stack[kind];

	if (!stack->end || !stack->owners[owner % OWNERS])
		return;
	for (uint32_t at = 0; at < stack->end; at++) {
		const struct ghost_slot *slot = &stack->slot[at];

		if (slot->state != SLOT_PAGE || slot->owner != owner || slot->pool != pool)
			continue;
		count_freed(ghost, kind, at);
		take_out(ghost, stack, at);
	}
}

void ghost_flush_pool(struct ghost *ghost, enum ghost_kind kind, uint16_t pool)
{
	struct ghost_stack *stack = &ghost->stack[kind];

	for (uint32_t at = 0; at < stack->end; at++)
		if (stack->slot[at].state == SLOT_PAGE && stack->slot[at].pool == pool) {
			count_freed(ghost, kind, at);
			take_out(ghost, stack, at);
		}
}

/* ---- life -------------------------------------------------------------------------------------------- */

void ghost_init(struct ghost *ghost)
{
	*ghost = (struct ghost){ 0 };
}

void ghost_deinit(struct ghost *ghost)
{
	free(ghost->memory);
	ghost_init(ghost);
}

static size_t stack_bytes(uint32_t slots)
{
	return slots * (sizeof(struct ghost_slot) + 2 * sizeof(uint32_t)) + slots / 64 * sizeof(uint64_t) + OWNERS * sizeof(uint16_t);
}

/* The arrays one behind the other, the widest first. */
static void lay_out(struct ghost_stack *stack, uint8_t *memory, uint32_t slots)
{
	*stack = (struct ghost_stack){ .slot = (struct ghost_slot *)(void *)memory };
	stack->holes = (uint64_t *)(void *)(stack->slot + slots);
	stack->tree = (uint32_t *)(void *)(stack->holes + slots / 64);
	stack->head = stack->tree + slots;
	stack->owners = (uint16_t *)(void *)(stack->head + slots);
	memset(stack->head, 0xff, slots * sizeof(*stack->head));
}

bool ghost_set(struct ghost *ghost, uint32_t frames, uint32_t sampled)
{
	struct ghost fresh = { .slots = SLOTS_MIN };
	uint64_t share;

	if (sampled) {
		sampled = sampled < frames ? sampled : frames;
		while (fresh.slots < sampled * SLOTS_PER_FRAME)
			fresh.slots <<= 1;
		fresh.memory = calloc(GHOST_KINDS, stack_bytes(fresh.slots));
		if (!fresh.memory)
			return false;
		for (int kind = 0; kind < GHOST_KINDS; kind++)
			lay_out(&fresh.stack[kind], (uint8_t *)fresh.memory + (size_t)kind * stack_bytes(fresh.slots), fresh.slots);
		share = ((uint64_t)sampled << 32) / frames;
		fresh.threshold = (uint32_t)min_u64(share, UINT32_MAX);
		fresh.bin_units = sampled * UNITS_PER_FRAME / BINS_PER_REGION;
		if (!fresh.bin_units)
			fresh.bin_units = 1;
	}
	ghost_deinit(ghost);
	*ghost = fresh;
	return true;
}

uint64_t ghost_bytes(const struct ghost *ghost)
{
	return ghost->memory ? GHOST_KINDS * (uint64_t)stack_bytes(ghost->slots) : 0;
}

static void count_pages(const struct ghost *ghost, const struct ghost_stack *stack, uint64_t *pages)
{
	uint64_t behind = 0;

	for (uint32_t at = stack->end; at; at--) {
		const struct ghost_slot *slot = &stack->slot[at - 1];
		const uint64_t bin = min_u64(behind / ghost->bin_units, TMS_GHOST_BINS - 1);

		if (slot->state == SLOT_PAGE)
			pages[bin > slot->reach ? bin : slot->reach]++;
		behind += slot->state == SLOT_EMPTY ? 0 : slot->units;
	}
}

void ghost_read(const struct ghost *ghost, struct tms_ghosts *ret)
{
	*ret = ghost->seen;
	count_pages(ghost, &ghost->stack[GHOST_SWAP], ret->swap_pages);
	ret->rate_ppb = (uint64_t)ghost->threshold * 1000000000 >> 32;
	for (int kind = 0; kind < GHOST_KINDS; kind++) {
		ret->units[kind] = ghost->stack[kind].pages_weight;
		ret->units_most[kind] = ghost->stack[kind].pages_most;
	}
}
