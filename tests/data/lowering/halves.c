/* Every half float, and doubles at random, by the compiler's own library and by the shim. To be compiled without -O:
 * a compiler may say that a half float that was widened and narrowed is itself, whatever kind of NaN. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#define SHIM(result, name) result geowheel_floor_##name
SHIM(float, __extendhfsf2)(_Float16); SHIM(float, __extendbfsf2)(_Float16);
SHIM(double, __extendhfdf2)(_Float16);
SHIM(int, __eqhf2)(_Float16, _Float16); SHIM(int, __nehf2)(_Float16, _Float16);
SHIM(_Float16, __truncsfhf2)(float); SHIM(_Float16, __truncdfhf2)(double); SHIM(_Float16, __truncxfhf2)(long double);

static int different(const void *one, const void *other, size_t size) { return memcmp(one, other, size) != 0; }
#define COMPARE(kind, own, shim) do { kind a = (kind)(own), b = (kind)(shim); wrong += different(&a, &b, sizeof a); } while (0)

int main(void) {
    long wrong = 0;
    uint64_t state = 88172645463325252u;
    for (uint32_t number = 0; number < 65536; number++) {
        uint16_t bits = (uint16_t)number;
        _Float16 half, next;
        memcpy(&half, &bits, 2);
        bits ^= 1;
        memcpy(&next, &bits, 2);
        COMPARE(float, half, geowheel_floor___extendhfsf2(half));
        COMPARE(double, half, geowheel_floor___extendhfdf2(half));
        wrong += (half == half) != !geowheel_floor___eqhf2(half, half) || (half != next) != !!geowheel_floor___nehf2(half, next);
        uint32_t upper = number << 16 | ((number & 0x7f80) == 0x7f80 && number & 0x7f ? 0x400000 : 0);
        float wide = geowheel_floor___extendbfsf2(half);
        wrong += different(&wide, &upper, 4);
        /* The values between two half floats are where rounding goes wrong. */
        for (int part = 0; part < 32; part++) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            double near = (double)half + ((double)next - (double)half) * (part < 9 ? part / 8.0 : (double)(state >> 11) * 0x1p-53);
            if (near != near) near = half;
            COMPARE(_Float16, (float)near, geowheel_floor___truncsfhf2((float)near));
            COMPARE(_Float16, near, geowheel_floor___truncdfhf2(near));
            long double finer = (long double)near * (1 + (part - 16) * 0x1p-63L);
            COMPARE(_Float16, finer, geowheel_floor___truncxfhf2(finer));
        }
        double any;
        memcpy(&any, &state, 8);
        if (any == any) COMPARE(_Float16, any, geowheel_floor___truncdfhf2(any));
    }
    printf("%ld wrong\n", wrong);
    return wrong != 0;
}
