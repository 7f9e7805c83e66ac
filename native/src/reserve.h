/*
 * reserve.h: the escape reserve: RAM outside the area that reclaim may fill.
 *
 * No window ever lies in it, so it needs neither frames nor size classes: objects lie one behind the
 * other, in units of 64 bytes, and holes are closed by sliding what lies behind them down.  So whatever
 * sizes come, objects that add up to no more than the reserve find room in it.
 *
 *      first                         end                 units
 *        [ o0 | o1 |  hole  | o3 | o4 ]     never used     ]
 *
 * A place in the reserve is a place beyond the frames of the region, in the same numbers.
 */
#ifndef TMS_RESERVE_H
#define TMS_RESERVE_H

#include "check.h"

#define UNIT_SHIFT 6
#define UNITS_SHIFT (PAGE_SHIFT - UNIT_SHIFT)
#define PLACE_NONE UINT32_MAX

struct reserve {
	uint8_t *base;
	uint32_t first; /* place of its first unit */
	uint32_t units;
	uint32_t end;   /* units before it are used or holes */
	uint32_t used;
};

/* The footprint of an object of that many bytes, wherever it is kept, is at least this. */
static inline uint32_t units_of(uint32_t bytes)
{
	return (bytes + (1U << UNIT_SHIFT) - 1) >> UNIT_SHIFT;
}

static inline bool reserve_has(const struct reserve *reserve, uint32_t place)
{
	return place >= reserve->first;
}

static inline uint8_t *reserve_at(const struct reserve *reserve, uint32_t place)
{
	return reserve->base + ((size_t)(place - reserve->first) << UNIT_SHIFT);
}

static inline uint32_t reserve_free(const struct reserve *reserve)
{
	return reserve->units - reserve->used;
}

/* True: there are no holes, and room only behind the last object. */
static inline bool reserve_is_dense(const struct reserve *reserve)
{
	return reserve->end == reserve->used;
}

/* A place behind all objects, or PLACE_NONE: there is room only in holes, or none at all. */
static inline uint32_t reserve_take(struct reserve *reserve, uint32_t bytes)
{
	uint32_t units = units_of(bytes);
	uint32_t place = reserve->first + reserve->end;

	if (units > reserve->units - reserve->end)
		return PLACE_NONE;
	reserve->end += units;
	reserve->used += units;
	return place;
}

static inline void reserve_put(struct reserve *reserve, uint32_t place, uint32_t bytes)
{
	uint32_t units = units_of(bytes);

	reserve->used -= units;
	if (place - reserve->first + units == reserve->end)
		reserve->end -= units;
	if (reserve->used == 0)
		reserve->end = 0;
}

#endif
