/* The functions that a lowered wheel takes from itself: rows with `shim` or `zero` in lowering.toml.
 *
 * Pure C without a header of C++, so that nothing depends on the compiler. What is from glibc or libstdc++ has the
 * version that the oldest of them had; references to newer ones are lowered as those of any other file. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#if defined(__x86_64__)
#define FIRST "GLIBC_2.2.5"
#define STAT_VERSION 1
#define STATAT "GLIBC_2.4"
#elif defined(__aarch64__)
#define FIRST "GLIBC_2.17"
#define STAT_VERSION 0
#define STATAT "GLIBC_2.17"
#else
#error "another processor"
#endif

#define FLOOR(result, name) __attribute__((visibility("default"))) result geowheel_floor_##name
#define OLD(own, name, version) __asm__(".symver " #own "," name "@" version)

/* --- glibc --- */

struct stat;
int old_stat(int, const char *, struct stat *), old_lstat(int, const char *, struct stat *);
int old_fstat(int, int, struct stat *), old_fstatat(int, int, const char *, struct stat *, int);
int old_mknod(int, const char *, mode_t, dev_t *);
OLD(old_stat, "__xstat", FIRST);
OLD(old_lstat, "__lxstat", FIRST);
OLD(old_fstat, "__fxstat", FIRST);
OLD(old_fstatat, "__fxstatat", STATAT);
OLD(old_mknod, "__xmknod", FIRST);

/* Offsets have 64 bits in both. */
FLOOR(int, stat)(const char *path, struct stat *found) { return old_stat(STAT_VERSION, path, found); }
FLOOR(int, stat64)(const char *path, struct stat *found) { return old_stat(STAT_VERSION, path, found); }
FLOOR(int, lstat)(const char *path, struct stat *found) { return old_lstat(STAT_VERSION, path, found); }
FLOOR(int, lstat64)(const char *path, struct stat *found) { return old_lstat(STAT_VERSION, path, found); }
FLOOR(int, fstat)(int file, struct stat *found) { return old_fstat(STAT_VERSION, file, found); }
FLOOR(int, fstat64)(int file, struct stat *found) { return old_fstat(STAT_VERSION, file, found); }
FLOOR(int, fstatat)(int folder, const char *path, struct stat *found, int flags) {
    return old_fstatat(STAT_VERSION, folder, path, found, flags);
}
FLOOR(int, fstatat64)(int folder, const char *path, struct stat *found, int flags) {
    return old_fstatat(STAT_VERSION, folder, path, found, flags);
}
FLOOR(int, mknod)(const char *path, mode_t mode, dev_t device) { return old_mknod(0, path, mode, &device); }

FLOOR(const char, __libc_single_threaded) = 0;

typedef int (*main_function)(int, char **, char **);
int old_start(main_function, int, char **, void (*)(int, char **, char **), void (*)(void), void (*)(void), void *);
OLD(old_start, "__libc_start_main", FIRST);

/* Run the constructors of the program, as __libc_csu_init did. Destructors, and what comes before libraries', are
 * ld.so's. */
static void construct(int count, char **arguments, char **environment) {
    const ElfW(Phdr) *segments = (const void *)getauxval(AT_PHDR);
    const ElfW(Dyn) *tags = NULL;
    uintptr_t base = 0, size = getauxval(AT_PHNUM);
    typedef void (*constructor)(int, char **, char **);
    constructor before = NULL, *list = NULL;
    size_t bytes = 0;
    for (size_t i = 0; i < size; i++)
        if (segments[i].p_type == PT_PHDR) base = (uintptr_t)segments - segments[i].p_vaddr;
    for (size_t i = 0; i < size; i++)
        if (segments[i].p_type == PT_DYNAMIC) tags = (const void *)(base + segments[i].p_vaddr);
    for (; tags && tags->d_tag != DT_NULL; tags++) {
        if (tags->d_tag == DT_INIT) before = (constructor)(base + tags->d_un.d_ptr);
        if (tags->d_tag == DT_INIT_ARRAY) list = (constructor *)(base + tags->d_un.d_ptr);
        if (tags->d_tag == DT_INIT_ARRAYSZ) bytes = tags->d_un.d_val;
    }
    if (before) before(count, arguments, environment);
    for (size_t i = 0; i < bytes / sizeof *list; i++) list[i](count, arguments, environment);
}

FLOOR(int, __libc_start_main)(main_function start, int count, char **arguments, void *init, void (*fini)(void),
                              void (*rtld_fini)(void), void *stack_end) {
    (void)init;
    return old_start(start, count, arguments, construct, fini, rtld_fini, stack_end);
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

FLOOR(uint32_t, arc4random_uniform)(uint32_t bound) {
    uint32_t number, least = bound ? -bound % bound : 0;
    do number = geowheel_floor_arc4random();
    while (number < least);
    return bound ? number % bound : 0;
}

/* The variable's own clock is in the second bit of __wrefs, from glibc 2.25 until there is a clockwait (2.30). */
static int (*wait_by_clock)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
__attribute__((constructor(102))) static void find_wait(void) {
    *(void **)&wait_by_clock = dlvsym(RTLD_DEFAULT, "pthread_cond_clockwait", "GLIBC_2.30");
}

static struct timespec shifted(const struct timespec *time, clockid_t from, clockid_t to) {
    struct timespec was, is;
    clock_gettime(from, &was);
    clock_gettime(to, &is);
    long nanoseconds = time->tv_nsec - was.tv_nsec + is.tv_nsec;
    long seconds = nanoseconds / 1000000000 - (nanoseconds % 1000000000 < 0);
    is.tv_sec += time->tv_sec - was.tv_sec + seconds;
    is.tv_nsec = nanoseconds - seconds * 1000000000;
    return is;
}

FLOOR(int, pthread_cond_clockwait)(pthread_cond_t *variable, pthread_mutex_t *mutex, clockid_t clock,
                                   const struct timespec *until) {
    if (wait_by_clock) return wait_by_clock(variable, mutex, clock, until);
    if (until->tv_nsec < 0 || until->tv_nsec >= 1000000000) return EINVAL;
    clockid_t own = variable->__data.__wrefs & 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
    for (;;) {
        struct timespec now, its = own == clock ? *until : shifted(until, clock, own);
        int result = pthread_cond_timedwait(variable, mutex, &its);
        clock_gettime(clock, &now);
        int early = now.tv_sec < until->tv_sec || (now.tv_sec == until->tv_sec && now.tv_nsec < until->tv_nsec);
        if (result != ETIMEDOUT || !early) return result;
    }
}

FLOOR(pid_t, gettid)(void) { return (pid_t)syscall(SYS_gettid); }

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
object __cxa_allocate_exception(size_t), __cxa_begin_catch(object);
void __cxa_throw(object, object, void (*)(object)) __attribute__((noreturn));
void _ZSt9terminatev(void) __attribute__((noreturn));
extern char _ZTVSt20bad_array_new_length[], _ZTISt20bad_array_new_length[];
void _ZNSt20bad_array_new_lengthD1Ev(object);
void _ZNSt8ios_base4InitC1Ev(object), _ZNSt8ios_base4InitD1Ev(object);

/* std::cout and its kin are set up before, and flushed after, whatever needs this library. */
static char init;
#ifndef WITHOUT_INIT
__attribute__((constructor(101))) static void set_up(void) { _ZNSt8ios_base4InitC1Ev(&init); }
__attribute__((destructor(101))) static void flush(void) { _ZNSt8ios_base4InitD1Ev(&init); }
#endif
FLOOR(void, _ZSt21ios_base_library_initv)(void) { (void)init; }

FLOOR(void, _ZSt28__throw_bad_array_new_lengthv)(void) {
    object *thrown = __cxa_allocate_exception(sizeof(object));
    *thrown = _ZTVSt20bad_array_new_length + 2 * sizeof(object); /* behind the offset and the typeinfo */
    __cxa_throw(thrown, _ZTISt20bad_array_new_length, _ZNSt20bad_array_new_lengthD1Ev);
}

FLOOR(void, __cxa_call_terminate)(object thrown) {
    if (thrown) __cxa_begin_catch(thrown);
    _ZSt9terminatev();
}

/* libstdc++'s own, by its handle: a file that was compiled with newer headers has inline copies, which call what is
 * defined here. A newer libstdc++ has the functions themselves. */
#define POINTER "_ZNSt15__exception_ptr13exception_ptr"
static struct { void (*add)(object *), (*release)(object *), (*copy)(object *, object *), (*destroy)(object *); } of;

__attribute__((constructor(102))) static void find(void) {
    void *library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD);
    if (!library) abort(); /* never: this library needs it */
    *(void **)&of.add = dlvsym(library, POINTER "9_M_addrefEv", "CXXABI_1.3.13");
    *(void **)&of.release = dlvsym(library, POINTER "10_M_releaseEv", "CXXABI_1.3.13");
    *(void **)&of.copy = dlvsym(library, POINTER "C1ERKS0_", "CXXABI_1.3.3");
    *(void **)&of.destroy = dlvsym(library, POINTER "D1Ev", "CXXABI_1.3.3");
}

FLOOR(void, _ZNSt15__exception_ptr13exception_ptr9_M_addrefEv)(object *pointer) {
    object copy = NULL; /* which is never destroyed: its count stays */
    if (of.add) of.add(pointer);
    else of.copy(&copy, pointer);
}

FLOOR(void, _ZNSt15__exception_ptr13exception_ptr10_M_releaseEv)(object *pointer) {
    object taken = *pointer;
    if (of.release) of.release(pointer);
    else *pointer = NULL, of.destroy(&taken);
}

/* basic_string::_M_replace_cold: n2 units of s over n1 of p, before `tail` more; s is a part of the string itself. */
#define REPLACE_COLD(name, unit)                                                                             \
    FLOOR(void, name)(object string, unit *p, size_t n1, const unit *s, size_t n2, size_t tail) {             \
        const size_t width = sizeof(unit);                                                                    \
        (void)string;                                                                                         \
        if (n2 && n2 <= n1) memmove(p, s, n2 * width);                                                        \
        if (tail && n1 != n2) memmove(p + n2, p + n1, tail * width);                                          \
        if (n2 <= n1) return;                                                                                 \
        if (s + n2 <= p + n1) memmove(p, s, n2 * width);                                                      \
        else if (s >= p + n1) memcpy(p, s + (n2 - n1), n2 * width);                                           \
        else {                                                                                                \
            const size_t before = (size_t)(p + n1 - s);                                                       \
            memmove(p, s, before * width);                                                                    \
            memcpy(p + before, p + n2, (n2 - before) * width);                                                \
        }                                                                                                     \
    }
REPLACE_COLD(_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE15_M_replace_coldEPcmPKcmm, char)
REPLACE_COLD(_ZNSt7__cxx1112basic_stringIwSt11char_traitsIwESaIwEE15_M_replace_coldEPwmPKwmm, wchar_t)

/* in = 8, out = 16: std::ios_base::openmode. */
#define EMPTY_STREAM(name, mode)                                                                             \
    void name##C1ESt13_Ios_Openmode(object, int);                                                             \
    FLOOR(void, name##C1Ev)(object stream) { name##C1ESt13_Ios_Openmode(stream, mode); }
EMPTY_STREAM(_ZNSt7__cxx1118basic_stringstreamIcSt11char_traitsIcESaIcEE, 8 | 16)
EMPTY_STREAM(_ZNSt7__cxx1119basic_istringstreamIcSt11char_traitsIcESaIcEE, 8)
EMPTY_STREAM(_ZNSt7__cxx1119basic_ostringstreamIcSt11char_traitsIcESaIcEE, 16)
