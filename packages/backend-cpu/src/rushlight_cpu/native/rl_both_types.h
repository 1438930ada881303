/* Includes the loops in RL_LOOPS twice: for T = float with names F(x) = x_f32, and for double. */
#define T float
#define F(name) name##_f32
#include RL_LOOPS
#undef T
#undef F
#define T double
#define F(name) name##_f64
#include RL_LOOPS
#undef T
#undef F
