/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Criterion's comparisons, as far as they are used; see criterion.h beside this. */
#ifndef SONA_TESTS_CROSS_ASSERT_H
#define SONA_TESTS_CROSS_ASSERT_H

#define eq(type, a, b)    CROSS_EQUAL_##type(a, b)
#define ne(type, a, b)    ((a) != (b))
#define le(type, a, b)    ((a) <= (b))
#define zero(type, value) ((value) == 0)
#define not(condition) (!(condition))

#define CROSS_EQUAL_flt(a, b) ((a) == (b))
#define CROSS_EQUAL_i32(a, b) ((a) == (b))
#define CROSS_EQUAL_u32(a, b) ((a) == (b))
#define CROSS_EQUAL_int(a, b) ((a) == (b))
#define CROSS_EQUAL_str(a, b) (strcmp((a), (b)) == 0)

#endif
