/* The functions that a lowered wheel takes from itself: `shim` and `zero` in lowering.toml.
 * Pure C without a header of C++, so that nothing depends on the compiler. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
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

FLOOR(const char, __libc_single_threaded) = 0;

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

FLOOR(void, closefrom)(int first) {
    if (syscall(436 /* close_range */, (unsigned)first, ~0U, 0) == 0) return;
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
