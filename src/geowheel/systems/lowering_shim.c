/* The functions that a lowered wheel takes from itself: `shim` and `zero` in lowering.toml.
 * Pure C without a header of C++, so that nothing depends on the compiler. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifdef __aarch64__
#define FIRST "GLIBC_2.17"
#define STAT 0
#else
#define FIRST "GLIBC_2.2.5"
#define STAT 1
#endif
#define FLOOR(result, name) __attribute__((visibility("default"))) result geowheel_floor_##name

struct stat;
int __xstat(int, const char *, struct stat *), __lxstat(int, const char *, struct stat *);
int __fxstat(int, int, struct stat *), __fxstatat(int, int, const char *, struct stat *, int);
FLOOR(int, stat)(const char *path, struct stat *found) { return __xstat(STAT, path, found); }
FLOOR(int, lstat)(const char *path, struct stat *found) { return __lxstat(STAT, path, found); }
FLOOR(int, fstat)(int file, struct stat *found) { return __fxstat(STAT, file, found); }
FLOOR(int, fstatat)(int at, const char *path, struct stat *found, int how) {
    return __fxstatat(STAT, at, path, found, how);
}

int __xmknod(int, const char *, unsigned, unsigned long *);
FLOOR(int, mknod)(const char *path, unsigned mode, unsigned long device) { return __xmknod(0, path, mode, &device); }

FLOOR(void *, __memset_explicit_chk)(void *to, int byte, size_t size, size_t room) {
    if (room < size) abort();
    memset(to, byte, size);
    __asm__ volatile("" : : "r"(to) : "memory"); /* which no compiler may leave out */
    return to;
}

FLOOR(const char, __libc_single_threaded) = 0; /* and for the object files that are linked with this: */
extern const char __libc_single_threaded __attribute__((alias("geowheel_floor___libc_single_threaded"), visibility("hidden")));

/* A moment of one clock, by another. */
static struct timespec by(clockid_t own, clockid_t clock, const struct timespec *until) {
    struct timespec at = *until, here = {0}, there = {0};
    clock_gettime(own, &here), clock_gettime(clock, &there);
    long rest = at.tv_nsec + here.tv_nsec - there.tv_nsec + 1000000000; /* never negative */
    return (struct timespec){at.tv_sec + here.tv_sec - there.tv_sec + rest / 1000000000 - 1, rest % 1000000000};
}
#define UNTIL clockid_t clock, const struct timespec *until
FLOOR(int, pthread_cond_clockwait)(pthread_cond_t *it, pthread_mutex_t *mutex, UNTIL) {
    struct timespec at = by(it->__data.__wrefs & 2 /* since 2.25 */ ? CLOCK_MONOTONIC : CLOCK_REALTIME, clock, until);
    return pthread_cond_timedwait(it, mutex, &at);
}
FLOOR(int, sem_clockwait)(sem_t *it, UNTIL) {
    struct timespec at = by(CLOCK_REALTIME, clock, until);
    return sem_timedwait(it, &at);
}

FLOOR(pid_t, gettid)(void) { return (pid_t)syscall(SYS_gettid); }
FLOOR(int, statx)(int at, const char *path, int how, unsigned wanted, void *found) {
    return (int)syscall(SYS_statx, at, path, how, wanted, found);
}

typedef void (*constructor)(int, char **, char **);
int old_start(constructor, int, char **, constructor, void (*)(void), void (*)(void), void *);
__asm__(".symver old_start,__libc_start_main@" FIRST);

/* Run the constructors of the program, as __libc_csu_init did. What comes first and last is ld.so's. */
static void construct(int count, char **arguments, char **environment) {
    const struct link_map *program = _r_debug.r_map;
    constructor before = NULL, *list = NULL;
    size_t bytes = 0;
    for (const ElfW(Dyn) *tag = program->l_ld; tag->d_tag != DT_NULL; tag++) {
        if (tag->d_tag == DT_INIT) before = (constructor)(program->l_addr + tag->d_un.d_ptr);
        if (tag->d_tag == DT_INIT_ARRAY) list = (constructor *)(program->l_addr + tag->d_un.d_ptr);
        if (tag->d_tag == DT_INIT_ARRAYSZ) bytes = tag->d_un.d_val;
    }
    if (before) before(count, arguments, environment);
    for (size_t i = 0; i < bytes / sizeof *list; i++) list[i](count, arguments, environment);
}

FLOOR(int, __libc_start_main)(constructor start, int count, char **arguments, constructor init, void (*fini)(void),
                              void (*rtld_fini)(void), void *stack_end) {
    return old_start(start, count, arguments, init ? init : construct, fini, rtld_fini, stack_end);
}

FLOOR(void, arc4random_buf)(void *buffer, size_t size) {
    for (char *at = buffer; size > 0;) {
        long got = syscall(SYS_getrandom, at, size, 0);
        if (got < 0 && errno != EINTR) abort();
        if (got > 0) at += got, size -= (size_t)got;
    }
}
FLOOR(uint32_t, arc4random)(void) {
    uint32_t number;
    geowheel_floor_arc4random_buf(&number, sizeof number);
    return number;
}

FLOOR(int, close_range)(unsigned first, unsigned last, int how) { return (int)syscall(436, first, last, how); }
FLOOR(void, closefrom)(int first) {
    if (geowheel_floor_close_range((unsigned)first, ~0U, 0) == 0) return;
    for (long file = sysconf(_SC_OPEN_MAX); file-- > first;) close((int)file);
}

FLOOR(size_t, strlcpy)(char *to, const char *from, size_t size) {
    size_t length = strlen(from), copied = length < size ? length : size - 1;
    if (size) memcpy(to, from, copied), to[copied] = 0;
    return length;
}
FLOOR(size_t, strlcat)(char *to, const char *from, size_t size) {
    size_t length = strnlen(to, size);
    return length == size ? size + strlen(from) : length + geowheel_floor_strlcpy(to + length, from, size - length);
}

/* --- libstdc++ --- */

typedef void *object;
void _ZNSt8ios_base4InitC1Ev(object), _ZNSt8ios_base4InitD1Ev(object);

#ifndef WITHOUT_INIT
static char init;
__attribute__((constructor(101))) static void set_up(void) { _ZNSt8ios_base4InitC1Ev(&init); }
__attribute__((destructor(101))) static void flush(void) { _ZNSt8ios_base4InitD1Ev(&init); }
#endif
FLOOR(void, _ZSt21ios_base_library_initv)(void) {}

/* The constructors that say for what a stream is; 8 is to read, 16 to write. */
#define STREAM(kind, how) \
    void _ZNSt7__cxx11##kind##IcSt11char_traitsIcESaIcEEC1ESt13_Ios_Openmode(object, int); \
    FLOOR(void, _ZNSt7__cxx11##kind##IcSt11char_traitsIcESaIcEEC1Ev)(object stream) { \
        _ZNSt7__cxx11##kind##IcSt11char_traitsIcESaIcEEC1ESt13_Ios_Openmode(stream, how); \
    }
STREAM(18basic_stringstream, 8 | 16)
STREAM(19basic_ostringstream, 16)

/* libstdc++'s own, by its handle: a file that was compiled with newer headers has inline copies, which call what is
 * defined here. A newer libstdc++ has the functions themselves. */
#define POINTER "_ZNSt15__exception_ptr13exception_ptr"
static void (*add)(object *), (*release)(object *), (*copy)(object *, object *), (*destroy)(object *);

__attribute__((constructor(102))) static void find(void) {
    void *library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD);
    if (!library) abort(); /* never: this library needs it */
    *(void **)&add = dlvsym(library, POINTER "9_M_addrefEv", "CXXABI_1.3.13");
    *(void **)&release = dlvsym(library, POINTER "10_M_releaseEv", "CXXABI_1.3.13");
    *(void **)&copy = dlvsym(library, POINTER "C1ERKS0_", "CXXABI_1.3.3");
    *(void **)&destroy = dlvsym(library, POINTER "D1Ev", "CXXABI_1.3.3");
}

FLOOR(void, _ZNSt15__exception_ptr13exception_ptr9_M_addrefEv)(object *pointer) {
    object another = NULL; /* which is never destroyed: its count stays */
    if (add) add(pointer);
    else copy(&another, pointer);
}

FLOOR(void, _ZNSt15__exception_ptr13exception_ptr10_M_releaseEv)(object *pointer) {
    object taken = *pointer;
    if (release) release(pointer);
    else *pointer = NULL, destroy(&taken);
}

/* basic_string::_M_replace_cold: n2 characters of s, which is a part of the string itself, over n1 of p, before `tail`
 * more. */
FLOOR(void, _ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE15_M_replace_coldEPcmPKcmm)
(object string, char *p, size_t n1, const char *s, size_t n2, size_t tail) {
    const size_t before = s < p + n1 ? (size_t)(p + n1 - s) : 0;
    (void)string;
    if (n2 && n2 <= n1) memmove(p, s, n2);
    if (tail && n1 != n2) memmove(p + n2, p + n1, tail);
    if (n2 <= n1) return;
    if (before >= n2) memmove(p, s, n2);
    else if (!before) memcpy(p, s + (n2 - n1), n2);
    else memmove(p, s, before), memcpy(p + before, p + n2, n2 - before);
}

/* --- libgcc --- */

/* Half floats, as IEEE 754 has them: by their bits, so that no compiler calls what is defined here. */
#ifdef __FLT16_MAX__
static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
static double widened(_Float16 value) {
    uint16_t half;
    memcpy(&half, &value, sizeof half);
    uint64_t sign = (uint64_t)(half & 0x8000) << 48, exponent = half >> 10 & 31, rest = half & 1023, bits;
    if (exponent == 31) bits = 2047ULL << 52 | rest << 42 | (rest ? 1ULL << 51 : 0);
    else if (exponent) bits = (exponent + 1008) << 52 | rest << 42;
    else bits = bits_of((double)rest * 0x1p-24);
    double wide;
    bits |= sign;
    memcpy(&wide, &bits, sizeof wide);
    return wide;
}
static _Float16 narrowed(uint64_t bits) { /* to the nearest, to the even one of two */
    int exponent = (int)(bits >> 52 & 2047) - 1023;
    uint64_t rest = bits & ((1ULL << 52) - 1), half;
    if (exponent == 1024) half = 31 << 10 | (rest ? 512 | rest >> 42 : 0);
    else if (exponent > 15) half = 31 << 10;
    else if (exponent < -25) half = 0;
    else {
        int shift = exponent < -14 ? 28 - exponent : 42;
        uint64_t all = rest | 1ULL << 52, kept = all >> shift, lost = all & ((1ULL << shift) - 1);
        uint64_t middle = 1ULL << (shift - 1);
        half = kept + (lost > middle || (lost == middle && (kept & 1)));
        if (exponent >= -14) half += (uint64_t)(exponent + 14) << 10;
    }
    uint16_t made = (uint16_t)(half | (bits >> 48 & 0x8000));
    _Float16 value;
    memcpy(&value, &made, sizeof value);
    return value;
}
FLOOR(float, __extendhfsf2)(_Float16 value) { return (float)widened(value); }
FLOOR(double, __extendhfdf2)(_Float16 value) { return widened(value); }
FLOOR(int, __eqhf2)(_Float16 one, _Float16 other) { return widened(one) != widened(other); }
FLOOR(int, __nehf2)(_Float16 one, _Float16 other) { return widened(one) != widened(other); }
FLOOR(_Float16, __truncsfhf2)(float value) { return narrowed(bits_of((double)value)); }
FLOOR(_Float16, __truncdfhf2)(double value) { return narrowed(bits_of(value)); }
FLOOR(_Float16, __truncxfhf2)(long double value) {
    double near = (double)value;
    uint64_t bits = bits_of(near);
    if (value == value && (long double)near != value) { /* to the odd one: it is rounded once more */
        bits -= near < 0 ? near < value : near > value;
        bits |= 1;
    }
    return narrowed(bits);
}
/* A bfloat16 comes in the register of a half float; it is the upper half of a float. */
FLOOR(float, __extendbfsf2)(_Float16 value) {
    uint16_t upper;
    memcpy(&upper, &value, sizeof upper);
    uint32_t bits = (uint32_t)upper << 16;
    float wide;
    if ((bits & 0x7fffffff) > 0x7f800000) bits |= 0x400000;
    memcpy(&wide, &bits, sizeof wide);
    return wide;
}
#endif

#ifdef __aarch64__
/* Whoever calls these leaves numbers in registers that other functions may overwrite
 * (https://github.com/ARM-software/abi-aa, vfabia64). */
typedef double two __attribute__((vector_size(16)));
typedef float four __attribute__((vector_size(16)));
/* By its version: the compiler has functions of these names too, whose last bits are others. */
#define VECTOR(numbers, count, number, function) \
    number libm_##function(number); \
    __asm__(".symver libm_" #function "," #function "@" FIRST); \
    __attribute__((aarch64_vector_pcs)) FLOOR(numbers, _ZGVnN##count##v_##function)(numbers each) { \
        for (int at = 0; at < count; at++) each[at] = libm_##function(each[at]); \
        return each; \
    }
VECTOR(two, 2, double, cos)
VECTOR(two, 2, double, exp)
VECTOR(two, 2, double, log)
VECTOR(two, 2, double, sin)
VECTOR(four, 4, float, cosf)
VECTOR(four, 4, float, expf)
VECTOR(four, 4, float, logf)
VECTOR(four, 4, float, sinf)
#endif
