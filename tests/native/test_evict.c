/* FIFO, LRU and SIEVE: on sequences worked out by hand, and against an array. */
#include "evict.h"
#include "fixture.h"

#define IDS 400u
#define MANY 5000u

static struct slab entries;
static bool barred[MANY + 1]; /* not usable */

static enum evict_answer ask(const void *context, uint32_t id)
{
	(void)context;
	return barred[id] ? EVICT_NO : EVICT_YES;
}

static enum evict_answer ask_suited(const void *context, uint32_t id)
{
	(void)context;
	return barred[id] ? EVICT_UNSUITED : EVICT_YES;
}

static const struct evict_asker anyone = { .ask = ask };
static const struct evict_asker choosy = { .ask = ask_suited };

static void open_order(struct evict *evict, int order)
{
	slab_init(&entries, sizeof(struct entry));
	for (uint32_t id = 1; id <= MANY; id++)
		(void)slab_alloc(&entries);
	memset(barred, 0, sizeof(barred));
	evict_init(evict, order, &entries);
}

/* The next to be given up, which goes. */
static uint32_t give_up(struct evict *evict)
{
	uint32_t id = evict_victim(evict, &anyone);

	if (id)
		evict_forget(evict, id);
	return id;
}

static void admit_up_to(struct evict *evict, uint32_t from, uint32_t to)
{
	for (uint32_t id = from; id <= to; id++)
		evict_admit(evict, id);
}

static void fifo_gives_up_the_first_in_whatever_was_got(void)
{
	struct evict evict;

	open_order(&evict, TMS_ORDER_FIFO);
	admit_up_to(&evict, 1, 3);
	evict_touch(&evict, 1);
	CHECK_EQ(give_up(&evict), 1);
	evict_forget(&evict, 2);
	CHECK_EQ(give_up(&evict), 3);
	CHECK_EQ(give_up(&evict), 0);
	slab_deinit(&entries);
}

static void lru_gives_up_what_was_got_longest_ago(void)
{
	struct evict evict;

	open_order(&evict, TMS_ORDER_LRU);
	admit_up_to(&evict, 1, 4);
	evict_touch(&evict, 1);
	evict_touch(&evict, 3);
	evict_touch(&evict, 1);
	CHECK_EQ(give_up(&evict), 2);
	CHECK_EQ(give_up(&evict), 4);
	CHECK_EQ(give_up(&evict), 3);
	CHECK_EQ(give_up(&evict), 1);
	CHECK_EQ(give_up(&evict), 0);
	slab_deinit(&entries);
}

static void sieve_passes_marked_pages_once_and_its_hand_wraps_to_the_oldest(void)
{
	struct evict evict;

	open_order(&evict, TMS_ORDER_SIEVE);
	admit_up_to(&evict, 1, 5);
	evict_touch(&evict, 1);
	evict_touch(&evict, 3);
	CHECK_EQ(give_up(&evict), 2); /* 1 is marked: passed */
	evict_admit(&evict, 6);
	CHECK_EQ(give_up(&evict), 4); /* on from 2: 3 is marked */
	CHECK_EQ(give_up(&evict), 5);
	evict_touch(&evict, 6);
	CHECK_EQ(give_up(&evict), 1); /* 6 is marked; the hand wraps; 1 was unmarked */
	CHECK_EQ(give_up(&evict), 3);
	CHECK_EQ(give_up(&evict), 6);
	CHECK_EQ(give_up(&evict), 0);
	slab_deinit(&entries);
}

static void what_a_choosy_asker_passes_over_is_the_next_ones(void)
{
	struct evict evict;

	open_order(&evict, TMS_ORDER_SIEVE);
	admit_up_to(&evict, 1, 6);
	barred[1] = barred[2] = true;
	evict_touch(&evict, 3);
	CHECK_EQ(evict_victim(&evict, &choosy), 4); /* 3 is marked, and stays so */
	evict_forget(&evict, 4);
	for (uint32_t id = 1; id <= 6; id++)
		barred[id] = true;
	CHECK_EQ(evict_victim(&evict, &choosy), 0);
	memset(barred, 0, sizeof(barred));
	CHECK_EQ(give_up(&evict), 1);
	CHECK_EQ(give_up(&evict), 2);
	CHECK_EQ(give_up(&evict), 5);
	CHECK_EQ(give_up(&evict), 6);
	CHECK_EQ(give_up(&evict), 3);
	slab_deinit(&entries);
}

static void sieve_keeps_its_hand_when_the_page_under_it_goes(void)
{
	struct evict evict;

	open_order(&evict, TMS_ORDER_SIEVE);
	admit_up_to(&evict, 1, 4);
	CHECK_EQ(evict_victim(&evict, &anyone), 1);
	evict_forget(&evict, 1);
	CHECK_EQ(give_up(&evict), 2);
	evict_forget(&evict, 3); /* the hand is on it */
	evict_admit(&evict, 5);
	CHECK_EQ(give_up(&evict), 4);
	evict_forget(&evict, 5); /* the newest, under the hand: back to the oldest, which is none */
	CHECK_EQ(give_up(&evict), 0);
	evict_admit(&evict, 6);
	CHECK_EQ(give_up(&evict), 6);
	slab_deinit(&entries);
}

static void a_page_that_is_not_usable_is_passed_over(void)
{
	for (int order = 0; order < TMS_ORDERS; order++) {
		struct evict evict;

		open_order(&evict, order);
		admit_up_to(&evict, 1, IDS);
		for (uint32_t id = 1; id <= IDS; id++)
			barred[id] = id != 100 && id != 101;
		CHECK_EQ(give_up(&evict), 100);
		CHECK_EQ(give_up(&evict), 101);
		for (int i = 0; i < 5; i++)
			CHECK_EQ(give_up(&evict), 0);
		CHECK_EQ(evict.list.count, IDS - 2);
		slab_deinit(&entries);
	}
}

static void sieve_finds_a_victim_where_every_page_is_marked(void)
{
	struct evict evict;

	open_order(&evict, TMS_ORDER_SIEVE);
	admit_up_to(&evict, 1, IDS);
	for (uint32_t id = 1; id <= IDS; id++)
		evict_touch(&evict, id);
	CHECK_EQ(give_up(&evict), 1);
	for (uint32_t id = 2; id <= IDS; id++)
		CHECK(!(entry_at(&entries, id)->flags & ENTRY_VISITED));
	slab_deinit(&entries);
}

static void sieve_unmarks_no_more_than_a_thousand_pages_for_one_victim(void)
{
	struct evict evict;
	uint32_t marked = 0;
	uint32_t victim;

	open_order(&evict, TMS_ORDER_SIEVE);
	admit_up_to(&evict, 1, MANY);
	for (uint32_t id = 1; id <= MANY; id++)
		evict_touch(&evict, id);
	victim = give_up(&evict);
	CHECK(victim > 1); /* the one at which it stopped */
	for (uint32_t id = 1; id <= MANY; id++)
		marked += (entry_at(&entries, id)->flags & ENTRY_VISITED) != 0;
	CHECK(marked >= MANY - 1024);
	CHECK_EQ(give_up(&evict), 2 * victim); /* and goes on from there */
	slab_deinit(&entries);
}

static void sieve_stops_on_its_way_for_who_asks_again_and_gives_up_no_marked_page(void)
{
	const struct evict_asker patient = { .ask = ask, .asks_again = true };
	struct evict evict;
	uint32_t looks = 0;
	uint32_t victim;

	open_order(&evict, TMS_ORDER_SIEVE);
	admit_up_to(&evict, 1, MANY);
	for (uint32_t id = 1; id <= MANY; id++)
		evict_touch(&evict, id);
	while (!(victim = evict_victim(&evict, &patient))) {
		CHECK(evict.is_on_its_way);
		looks++;
	}
	CHECK(!evict.is_on_its_way);
	CHECK_EQ(victim, 1);
	CHECK_EQ(looks, MANY / 1024);
	for (uint32_t id = 1; id <= MANY; id++)
		CHECK(!(entry_at(&entries, id)->flags & ENTRY_VISITED));
	slab_deinit(&entries);
}

/* Oldest first. */
struct shadow {
	uint32_t id[IDS];
	bool marked[IDS + 1];
	uint32_t count;
	uint32_t hand; /* an id; 0: none */
};

static uint32_t position(const struct shadow *s, uint32_t id)
{
	uint32_t i = 0;

	while (i < s->count && s->id[i] != id)
		i++;
	return i;
}

static void shadow_remove(struct shadow *s, uint32_t id)
{
	uint32_t i = position(s, id);

	if (s->hand == id)
		s->hand = i + 1 < s->count ? s->id[i + 1] : 0;
	memmove(s->id + i, s->id + i + 1, (--s->count - i) * sizeof(*s->id));
}

static uint32_t shadow_victim(struct shadow *s, int order)
{
	uint32_t i = order == TMS_ORDER_SIEVE && s->hand ? position(s, s->hand) : 0;

	if (!s->count)
		return 0;
	while (order == TMS_ORDER_SIEVE && s->marked[s->id[i]]) {
		s->marked[s->id[i]] = false;
		i = (i + 1) % s->count;
	}
	s->hand = s->id[i];
	return s->id[i];
}

static void every_order_agrees_with_an_array(void)
{
	for (int order = 0; order < TMS_ORDERS; order++) {
		struct shadow s = { .count = 0 };
		struct evict evict;
		uint64_t rng = 71;

		open_order(&evict, order);
		for (int step = 0; step < 6000; step++) {
			uint32_t id = 1 + rng_below(&rng, 30);
			bool in = position(&s, id) < s.count;

			if (rng_below(&rng, 4) == 0) {
				id = shadow_victim(&s, order);
				CHECK_EQ(give_up(&evict), id);
				if (id)
					shadow_remove(&s, id);
			} else if (!in) {
				entry_at(&entries, id)->flags = 0;
				evict_admit(&evict, id);
				s.marked[id] = false;
				s.id[s.count++] = id;
			} else if (rng_below(&rng, 6) == 0) {
				evict_forget(&evict, id);
				shadow_remove(&s, id);
			} else {
				evict_touch(&evict, id);
				s.marked[id] = true;
				if (order == TMS_ORDER_LRU) {
					shadow_remove(&s, id);
					s.id[s.count++] = id;
				}
			}
			CHECK_EQ(evict.list.count, s.count);
		}
		slab_deinit(&entries);
	}
}

static void same_filled_pages_are_in_a_list_of_their_own(void)
{
	struct evict evict;

	open_order(&evict, TMS_ORDER_SIEVE);
	evict_admit(&evict, 1);
	evict_admit_filled(&evict, 2);
	evict_admit_filled(&evict, 3);
	CHECK_EQ(evict.filled.last, 2);
	evict_forget_filled(&evict, 2);
	CHECK_EQ(evict.filled.count, 1);
	CHECK_EQ(give_up(&evict), 1);
	CHECK_EQ(give_up(&evict), 0);
	slab_deinit(&entries);
}

static void every_order_has_a_name_of_its_own(void)
{
	CHECK(!strcmp(tms_order_name(TMS_ORDER_FIFO), "fifo"));
	CHECK(!strcmp(tms_order_name(TMS_ORDER_LRU), "lru"));
	CHECK(!strcmp(tms_order_name(TMS_ORDER_SIEVE), "sieve"));
	CHECK(!tms_order_name(-1));
	CHECK(!tms_order_name(TMS_ORDERS));
}

int main(void)
{
	RUN(fifo_gives_up_the_first_in_whatever_was_got);
	RUN(lru_gives_up_what_was_got_longest_ago);
	RUN(sieve_passes_marked_pages_once_and_its_hand_wraps_to_the_oldest);
	RUN(what_a_choosy_asker_passes_over_is_the_next_ones);
	RUN(sieve_keeps_its_hand_when_the_page_under_it_goes);
	RUN(a_page_that_is_not_usable_is_passed_over);
	RUN(sieve_finds_a_victim_where_every_page_is_marked);
	RUN(sieve_unmarks_no_more_than_a_thousand_pages_for_one_victim);
	RUN(sieve_stops_on_its_way_for_who_asks_again_and_gives_up_no_marked_page);
	RUN(every_order_agrees_with_an_array);
	RUN(same_filled_pages_are_in_a_list_of_their_own);
	RUN(every_order_has_a_name_of_its_own);
	return check_finish(__FILE__);
}
