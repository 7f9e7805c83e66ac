/* Pools and their handles. */
#include "pool.h"
#include "fixture.h"

static struct pools pools;
static struct index index_;
static const uint8_t uuid[2][TMS_UUID_SIZE] = { "fifteen letters", "other letters.." };

static bool open_pools(void)
{
	pools_init(&pools);
	return index_init(&index_);
}

static void close_pools(void)
{
	pools_deinit(&pools);
	index_deinit(&index_);
}

static tms_pool_id create(uint32_t flags)
{
	return pool_create(&pools, &index_, flags, NULL);
}

static void destroy(tms_pool_id id)
{
	uint16_t slot = pool_slot(&pools, id);

	if (pool_drop_handle(&pools, slot))
		pool_free(&pools, slot);
}

static void a_handle_finds_its_pool_and_no_made_up_one_does(void)
{
	CHECK(open_pools());
	for (uint32_t i = 0; i < 50; i++) {
		uint32_t flags = i % 2 ? TMS_POOL_PERSISTENT : i % 3 ? TMS_POOL_INCLUSIVE : 0;
		tms_pool_id id = create(flags);

		CHECK(id);
		CHECK_EQ(pool_id_is_persistent(id), i % 2);
		CHECK(pool_slot(&pools, id));
		CHECK_EQ(pools.pool[pool_slot(&pools, id)].flags, flags);
		CHECK(!pool_slot(&pools, id ^ UINT32_C(1) << 31));
		CHECK(!pool_slot(&pools, id ^ UINT32_C(1) << 16));
		CHECK(!pool_slot(&pools, id + 1));
	}
	CHECK(!pool_slot(&pools, 0));
	CHECK(!pool_slot(&pools, UINT32_MAX));
	CHECK_EQ(pools.live, 50);
	close_pools();
}

static void a_handle_of_a_destroyed_pool_finds_nothing_whoever_has_the_slot_now(void)
{
	tms_pool_id old[200];
	tms_pool_id now;

	CHECK(open_pools());
	for (int i = 0; i < 200; i++) {
		old[i] = create(i % 2 ? TMS_POOL_PERSISTENT : 0);
		destroy(old[i]);
		CHECK_EQ(pools.live, 0);
	}
	now = create(0);
	CHECK_EQ(pool_slot(&pools, now), 1);
	for (int i = 0; i < 200; i++)
		CHECK(!pool_slot(&pools, old[i]));
	close_pools();
}

static void a_dying_pool_is_found_by_nobody_and_keeps_its_slot(void)
{
	tms_pool_id id;
	uint16_t slot;

	CHECK(open_pools());
	id = create(0);
	slot = pool_slot(&pools, id);
	CHECK(pool_drop_handle(&pools, slot));
	CHECK(!pool_slot(&pools, id));
	CHECK(pool_slot(&pools, create(0)) != slot);
	pool_free(&pools, slot);
	CHECK_EQ(pool_slot(&pools, create(0)), slot);
	close_pools();
}

static void a_shared_pool_without_authorisation_is_private(void)
{
	tms_pool_id a;
	tms_pool_id b;

	CHECK(open_pools());
	a = pool_create(&pools, &index_, TMS_POOL_SHARED, uuid[0]);
	b = pool_create(&pools, &index_, TMS_POOL_SHARED, uuid[0]);
	CHECK(a != b);
	CHECK_EQ(pools.pool[pool_slot(&pools, a)].flags, 0);
	CHECK(pool_authorize(&pools, uuid[0], true));
	CHECK(pool_authorize(&pools, uuid[0], true));
	a = pool_create(&pools, &index_, TMS_POOL_SHARED, uuid[0]);
	CHECK_EQ(pool_create(&pools, &index_, TMS_POOL_SHARED, uuid[0]), a);
	CHECK_EQ(pools.pool[pool_slot(&pools, a)].flags, TMS_POOL_SHARED);
	CHECK(pool_create(&pools, &index_, TMS_POOL_SHARED, uuid[1]) != a);
	CHECK(!pool_drop_handle(&pools, pool_slot(&pools, a)));
	CHECK(pool_slot(&pools, a));
	CHECK(pool_authorize(&pools, uuid[0], false));
	CHECK(pool_create(&pools, &index_, TMS_POOL_SHARED, uuid[0]) != a);
	CHECK(pool_drop_handle(&pools, pool_slot(&pools, a)));
	CHECK(!pool_slot(&pools, a));
	close_pools();
}

static void no_number_of_handles_makes_a_shared_pool_vanish(void)
{
	tms_pool_id first;

	CHECK(open_pools());
	CHECK(pool_authorize(&pools, uuid[0], true));
	first = pool_create(&pools, &index_, TMS_POOL_SHARED, uuid[0]);
	for (uint32_t handles = 1; handles < (1 << 16) + 10; handles++) {
		tms_pool_id id = pool_create(&pools, &index_, TMS_POOL_SHARED, uuid[0]);

		CHECK(id == first || id == 0);
		CHECK(pool_slot(&pools, first));
	}
	close_pools();
}

static void there_are_no_more_pools_than_pools_max(void)
{
	CHECK(open_pools());
	for (uint32_t i = 1; i < POOLS_MAX; i++)
		CHECK(create(0));
	CHECK_EQ(create(0), 0);
	CHECK_EQ(pools.live, POOLS_MAX - 1);
	CHECK(index_.pools >= POOLS_MAX);
	close_pools();
}

static void only_private_exclusive_ephemeral_gets_remove(void)
{
	CHECK(pool_get_removes(&(struct pool){ .flags = 0 }));
	CHECK(!pool_get_removes(&(struct pool){ .flags = TMS_POOL_PERSISTENT }));
	CHECK(!pool_get_removes(&(struct pool){ .flags = TMS_POOL_SHARED }));
	CHECK(!pool_get_removes(&(struct pool){ .flags = TMS_POOL_INCLUSIVE }));
}

int main(void)
{
	RUN(a_handle_finds_its_pool_and_no_made_up_one_does);
	RUN(a_handle_of_a_destroyed_pool_finds_nothing_whoever_has_the_slot_now);
	RUN(a_dying_pool_is_found_by_nobody_and_keeps_its_slot);
	RUN(a_shared_pool_without_authorisation_is_private);
	RUN(no_number_of_handles_makes_a_shared_pool_vanish);
	RUN(there_are_no_more_pools_than_pools_max);
	RUN(only_private_exclusive_ephemeral_gets_remove);
	return check_finish(__FILE__);
}
