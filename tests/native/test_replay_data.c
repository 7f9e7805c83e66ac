/* The same events through a store with page data and one without. */
#include "replays.h"

#define EVENTS 60000u
#define KEYS 900u

static struct tms_event event[EVENTS];

static void make_events(uint64_t seed)
{
	static const uint8_t op_of[] = { TMS_EVENT_PUT_PAGE, TMS_EVENT_PUT_PAGE, TMS_EVENT_GET_PAGE, TMS_EVENT_STORE,
					 TMS_EVENT_STORE,    TMS_EVENT_STORE,    TMS_EVENT_LOAD,     TMS_EVENT_LOAD };
	uint64_t rng = seed;
	uint64_t time_ns = 0;

	for (uint32_t i = 0; i < EVENTS; i++) {
		uint32_t chance = rng_below(&rng, 1000);
		uint8_t op = op_of[rng_below(&rng, 8)];

		if (chance < 30)
			op = chance < 15 ? TMS_EVENT_INVALIDATE_PAGE : TMS_EVENT_INVALIDATE_SWAP;
		else if (chance < 32)
			op = TMS_EVENT_INVALIDATE_INODE;
		else if (chance == 32)
			op = rng_below(&rng, 20) ? TMS_EVENT_GET_PAGE : TMS_EVENT_INVALIDATE_FS;
		else if (chance == 33)
			op = rng_below(&rng, 20) ? TMS_EVENT_LOAD : TMS_EVENT_INVALIDATE_AREA;
		time_ns += rng_below(&rng, 100000);
		event[i] = event_of(time_ns, op, rng_below(&rng, KEYS), (uint16_t)(rng_below(&rng, 3) ? 0 : 1 + rng_below(&rng, 4096)));
		event[i].pool = (uint16_t)rng_below(&rng, POOLS);
		event[i].flags = (uint8_t)(rng_below(&rng, 40) ? 0 : TMS_EVENT_FILLED);
	}
}

static void check_same(struct fixture *a, struct fixture *b)
{
	struct tms_stats left = fixture_stats(a);
	struct tms_stats right = fixture_stats(b);

	left.metadata_bytes = right.metadata_bytes = 0; /* the data of the device counts there */
	CHECK_EQ(memcmp(&left, &right, sizeof(left)), 0);
	CHECK_EQ(tms_now(a->store), tms_now(b->store));
}

/* Ten parts, an allocation of everything between two of them. */
static void run_in_parts(struct fixture *f, struct tms_replay *replay)
{
	const uint32_t part = EVENTS / 10;

	for (uint32_t at = 0; at < EVENTS; at += part) {
		CHECK_EQ(tms_replay(f->store, replay, part, event + at), TMS_OK);
		CHECK_EQ(replay->stop, TMS_REPLAY_DONE);
		CHECK_EQ(replay->done, part);
		CHECK_VERIFIES(f->store);
		(void)fixture_page_out(f);
	}
}

static void a_store_without_data_decides_as_one_with_data(void)
{
	const struct tms_device device = steady_device();

	for (uint64_t seed = 1; seed <= 4; seed++) {
		uint64_t now_ns[2] = { 0 };
		struct fixture f[2];
		struct tms_replay replay[2];

		make_events(seed);
		for (int i = 0; i < 2; i++) {
			struct setup setup = { .device = &device,
					       .virtual_ns = &now_ns[i],
					       .packed = seed % 2,
					       .reserve_bytes = seed > 2 ? 262144 : 0,
					       .without_data = i };

			CHECK_EQ(fixture_open(&f[i], &setup), TMS_OK);
			prepare(&f[i], &replay[i]);
			with_cleaner(&replay[i]);
			run_in_parts(&f[i], &replay[i]);
		}
		check_same(&f[0], &f[1]);
		CHECK(fixture_stats(&f[0]).swap_hits_spill > 0);
		CHECK(fixture_stats(&f[0]).clean_hits > 0);
		CHECK(!memcmp(replay[0].load_ns, replay[1].load_ns, sizeof(replay[0].load_ns)));
		for (int i = 0; i < 2; i++)
			fixture_close(&f[i]);
	}
}

int main(void)
{
	RUN(a_store_without_data_decides_as_one_with_data);
	return check_finish(__FILE__);
}
