/* What one time step of a recurrent layer does besides its matrix product, forward and backward.
 *
 * Between two products stand a dozen small operations over the same few numbers. Here they are one
 * pass: every number is read once, and the compiler turns the loops into vector instructions. The
 * steps exist twice, for gates in bfloat16 and in float32; memory cells, carried gradients and all
 * arithmetic are float32.
 *
 * The exponential is the Cephes library's expf: 2^n times a polynomial, within 2 ulp, with its
 * argument cut to where float32 is neither zero nor infinite. Not a number stays not a number.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t bfloat16;
typedef float float32;

static inline float as_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t as_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float load_bfloat16(bfloat16 value) { return as_float((uint32_t)value << 16); }

static inline bfloat16 store_bfloat16(float value) {
    uint32_t bits = as_bits(value);
    return (bfloat16)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16); /* to the nearest, ties to even */
}

static inline float load_float32(float32 value) { return value; }

static inline float32 store_float32(float value) { return value; }

static inline float exponential(float x) {
    x = 88.0f < x ? 88.0f : x;
    x = -87.0f > x ? -87.0f : x;
    float n = rintf(x * 1.44269504088896341f);
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return p * as_float((uint32_t)((int32_t)n + 127) << 23);
}

static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

static inline float hyperbolic(float x) { return 2.0f / (1.0f + exponential(-2.0f * x)) - 1.0f; }

#define JOINED(name, number) name##_##number
#define TYPED(name, number) JOINED(name, number)

#define NUMBER bfloat16
#include "steps.h"
#undef NUMBER

#define NUMBER float32
#include "steps.h"
#undef NUMBER
