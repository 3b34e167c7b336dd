/* Make the n-th system call on files below a directory fail: preload this library, then call fault_arm().
 *
 * Only paths below the directory of fault_directory(), and descriptors opened there, are counted. A call that fails sets
 * errno and changes nothing, except that close() closes its descriptor, as Linux does. `cc -shared -fPIC -ldl`.
 *
 * After fault_share(), the calls of this process are not counted, but those of the programs that it starts.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The order is that of KINDS in syscalls.py. */
enum { OPEN, READ, WRITE, SYNC, RENAME, TRUNCATE, MKDIR, UNLINK, LOCK, LINK, CLOSE, ALLOCATE, STAT, LIST, MAP, TIMES, CREATE, KINDS };
enum { ONCE, FROM_THERE, SHORT, STALL };

#define LARGEST 65536
#define SHARED "EPOCHBANK_FAULTS"
static char tracked[LARGEST];
struct state {
    char directory[PATH_MAX];
    size_t length;
    long counts[KINDS];
    volatile int armed_kinds; /* A bit for each kind. */
    long armed_at, seen, hits;
    int armed_errno, armed_mode;
    double armed_seconds;
    char last[PATH_MAX];
    pid_t spared; /* A process whose calls do not count; 0 for none. */
};
static struct state own, *state = &own;

/* Map the state in the file `path`. */
static int attach(const char *path) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *mapped = MAP_FAILED;
    if (fd >= 0 && !ftruncate(fd, sizeof own)) mapped = mmap(NULL, sizeof own, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0) close(fd);
    if (mapped == MAP_FAILED) return -1;
    state = mapped;
    return 0;
}
__attribute__((constructor)) static void begin(void) {
    const char *path = getenv(SHARED);
    if (path) attach(path);
}
/* Share the state, through the file `path`, with the programs that this process starts with it in SHARED; 0 on success. */
int fault_share(const char *path) {
    if (attach(path)) return -1;
    *state = own;
    state->spared = getpid();
    return 0;
}
void fault_directory(const char *path) {
    snprintf(state->directory, sizeof state->directory, "%s", path);
    state->length = strlen(state->directory);
}
void fault_arm(int kinds, long n, int error, int mode, double seconds) {
    memset(state->counts, 0, sizeof state->counts);
    state->seen = state->hits = 0;
    state->last[0] = 0;
    state->armed_at = n, state->armed_errno = error, state->armed_mode = mode, state->armed_seconds = seconds;
    __atomic_store_n(&state->armed_kinds, kinds, __ATOMIC_SEQ_CST);
}
void fault_disarm(void) { __atomic_store_n(&state->armed_kinds, 0, __ATOMIC_SEQ_CST); }
long fault_count(int kind) { return state->counts[kind]; }
long fault_hits(void) { return state->hits; }
const char *fault_last(void) { return state->last; }

static int below(const char *path) { return state->length && path && !strncmp(path, state->directory, state->length); }
static int below_at(int at, const char *path) {
    return path && (path[0] == '/' ? below(path) : at >= 0 && at < LARGEST && tracked[at]);
}
static int ours(int fd) { return fd >= 0 && fd < LARGEST && tracked[fd]; }
static int track(int fd, int yes) {
    if (fd >= 0 && fd < LARGEST) tracked[fd] = yes;
    return fd;
}
static void note(const char *path, int fd) {
    if (path) {
        snprintf(state->last, sizeof state->last, "%s", path);
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, state->last, sizeof state->last - 1);
        state->last[n > 0 ? n : 0] = 0;
    }
}
/* Count a call; return whether it is one that fails (1) or is cut short (2). */
static int hit(int kind, const char *path, int fd) {
    if (state->spared && state->spared == getpid()) return 0;
    __atomic_fetch_add(&state->counts[kind], 1, __ATOMIC_SEQ_CST);
    if (!(state->armed_kinds >> kind & 1)) return 0;
    long number = __atomic_add_fetch(&state->seen, 1, __ATOMIC_SEQ_CST);
    if (state->armed_mode == FROM_THERE ? number < state->armed_at : number != state->armed_at) return 0;
    if (!__atomic_fetch_add(&state->hits, 1, __ATOMIC_SEQ_CST)) note(path, fd);
    if (state->armed_mode == SHORT) return 2;
    if (state->armed_mode == STALL) {
        double seconds = state->armed_seconds;
        struct timespec left = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
        while (nanosleep(&left, &left)) { /* An uninterruptible wait, as on a network mount. */ }
        if (!state->armed_errno) return 0;
    }
    errno = state->armed_errno;
    return 1;
}
static size_t cut(size_t size) { return size > 1 ? size / 2 : size; }

#define REAL(type, name, ...)                                                    \
    static type (*real)(__VA_ARGS__);                                            \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define MODE(flags, arguments) ((flags) & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0)
#define OPENS(name)                                                              \
    int name(const char *path, int flags, ...) {                                 \
        va_list arguments;                                                       \
        va_start(arguments, flags);                                              \
        mode_t mode = MODE(flags, arguments);                                    \
        va_end(arguments);                                                       \
        REAL(int, #name, const char *, int, ...);                                \
        int mine = below(path);                                                  \
        if (mine && hit(flags & O_CREAT ? CREATE : OPEN, path, -1) == 1) return -1;                         \
        return track(real(path, flags, mode), mine);                             \
    }
OPENS(open)
OPENS(open64)
#define OPENS_AT(name)                                                           \
    int name(int at, const char *path, int flags, ...) {                         \
        va_list arguments;                                                       \
        va_start(arguments, flags);                                              \
        mode_t mode = MODE(flags, arguments);                                    \
        va_end(arguments);                                                       \
        REAL(int, #name, int, const char *, int, ...);                           \
        int mine = below_at(at, path);                                           \
        if (mine && hit(flags & O_CREAT ? CREATE : OPEN, path, -1) == 1) return -1;                         \
        return track(real(at, path, flags, mode), mine);                         \
    }
OPENS_AT(openat)
OPENS_AT(openat64)

#define TRANSFERS(name, kind, buffer_type, ...)                                  \
    if (ours(fd)) {                                                              \
        int what = hit(kind, NULL, fd);                                          \
        if (what == 1) return -1;                                                \
        if (what == 2) size = cut(size);                                         \
    }
ssize_t read(int fd, void *buffer, size_t size) {
    REAL(ssize_t, "read", int, void *, size_t);
    TRANSFERS(read, READ, void *)
    return real(fd, buffer, size);
}
ssize_t write(int fd, const void *buffer, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    TRANSFERS(write, WRITE, const void *)
    return real(fd, buffer, size);
}
#define POSITIONED(name, kind, pointer)                                          \
    ssize_t name(int fd, pointer buffer, size_t size, off_t offset) {            \
        REAL(ssize_t, #name, int, pointer, size_t, off_t);                       \
        TRANSFERS(name, kind, pointer)                                           \
        return real(fd, buffer, size, offset);                                   \
    }
POSITIONED(pread, READ, void *)
POSITIONED(pread64, READ, void *)
POSITIONED(pwrite, WRITE, const void *)
POSITIONED(pwrite64, WRITE, const void *)

#define VECTORS(name, kind)                                                      \
    ssize_t name(int fd, const struct iovec *vector, int count) {                \
        REAL(ssize_t, #name, int, const struct iovec *, int);                    \
        int what = ours(fd) ? hit(kind, NULL, fd) : 0;                           \
        struct iovec first = {vector[0].iov_base, cut(vector[0].iov_len)};       \
        return what == 1 ? -1 : what == 2 ? real(fd, &first, 1) : real(fd, vector, count); \
    }
VECTORS(readv, READ)
VECTORS(writev, WRITE)
#define VECTORS_AT(name, kind)                                                   \
    ssize_t name(int fd, const struct iovec *vector, int count, off_t offset) {  \
        REAL(ssize_t, #name, int, const struct iovec *, int, off_t);             \
        int what = ours(fd) ? hit(kind, NULL, fd) : 0;                           \
        struct iovec first = {vector[0].iov_base, cut(vector[0].iov_len)};       \
        return what == 1 ? -1 : what == 2 ? real(fd, &first, 1, offset) : real(fd, vector, count, offset); \
    }
VECTORS_AT(preadv, READ)
VECTORS_AT(preadv64, READ)
VECTORS_AT(pwritev, WRITE)
VECTORS_AT(pwritev64, WRITE)
#define VECTORS_2(name, kind)                                                    \
    ssize_t name(int fd, const struct iovec *vector, int count, off_t offset, int flags) { \
        REAL(ssize_t, #name, int, const struct iovec *, int, off_t, int);        \
        int what = ours(fd) ? hit(kind, NULL, fd) : 0;                           \
        struct iovec first = {vector[0].iov_base, cut(vector[0].iov_len)};       \
        return what == 1 ? -1 : what == 2 ? real(fd, &first, 1, offset, flags) : real(fd, vector, count, offset, flags); \
    }
VECTORS_2(preadv2, READ)
VECTORS_2(preadv64v2, READ)
VECTORS_2(pwritev2, WRITE)
VECTORS_2(pwritev64v2, WRITE)

#define ON_DESCRIPTOR(name, kind, parameters, types, arguments)                  \
    int name parameters {                                                        \
        REAL(int, #name, types);                                                 \
        return ours(fd) && hit(kind, NULL, fd) == 1 ? -1 : real arguments;       \
    }
#define COMMA ,
ON_DESCRIPTOR(fsync, SYNC, (int fd), int, (fd))
ON_DESCRIPTOR(fdatasync, SYNC, (int fd), int, (fd))
ON_DESCRIPTOR(ftruncate, TRUNCATE, (int fd, off_t size), int COMMA off_t, (fd, size))
ON_DESCRIPTOR(ftruncate64, TRUNCATE, (int fd, off_t size), int COMMA off_t, (fd, size))
ON_DESCRIPTOR(flock, LOCK, (int fd, int how), int COMMA int, (fd, how))
ON_DESCRIPTOR(fallocate, ALLOCATE, (int fd, int how, off_t at, off_t size), int COMMA int COMMA off_t COMMA off_t,
              (fd, how, at, size))
ON_DESCRIPTOR(fallocate64, ALLOCATE, (int fd, int how, off_t at, off_t size), int COMMA int COMMA off_t COMMA off_t,
              (fd, how, at, size))
ON_DESCRIPTOR(futimens, TIMES, (int fd, const struct timespec times[2]), int COMMA const struct timespec *, (fd, times))
ON_DESCRIPTOR(fstat, STAT, (int fd, struct stat *found), int COMMA struct stat *, (fd, found))
ON_DESCRIPTOR(fstat64, STAT, (int fd, struct stat64 *found), int COMMA struct stat64 *, (fd, found))

#define ON_PATH(name, kind, parameters, types, arguments)                        \
    int name parameters {                                                        \
        REAL(int, #name, types);                                                 \
        return below(path) && hit(kind, path, -1) == 1 ? -1 : real arguments;    \
    }
ON_PATH(mkdir, MKDIR, (const char *path, mode_t mode), const char * COMMA mode_t, (path, mode))
ON_PATH(unlink, UNLINK, (const char *path), const char *, (path))
ON_PATH(rmdir, UNLINK, (const char *path), const char *, (path))
ON_PATH(truncate, TRUNCATE, (const char *path, off_t size), const char * COMMA off_t, (path, size))
ON_PATH(truncate64, TRUNCATE, (const char *path, off_t size), const char * COMMA off_t, (path, size))
ON_PATH(stat, STAT, (const char *path, struct stat *found), const char * COMMA struct stat *, (path, found))
ON_PATH(stat64, STAT, (const char *path, struct stat64 *found), const char * COMMA struct stat64 *, (path, found))
ON_PATH(lstat, STAT, (const char *path, struct stat *found), const char * COMMA struct stat *, (path, found))
ON_PATH(lstat64, STAT, (const char *path, struct stat64 *found), const char * COMMA struct stat64 *, (path, found))
ON_PATH(statvfs, STAT, (const char *path, struct statvfs *found), const char * COMMA struct statvfs *, (path, found))
ON_PATH(statvfs64, STAT, (const char *path, struct statvfs64 *found), const char * COMMA struct statvfs64 *, (path, found))
ON_PATH(access, STAT, (const char *path, int mode), const char * COMMA int, (path, mode))

#define ON_PATH_AT(name, kind, parameters, types, arguments)                     \
    int name parameters {                                                        \
        REAL(int, #name, types);                                                 \
        return below_at(at, path) && hit(kind, path, -1) == 1 ? -1 : real arguments; \
    }
ON_PATH_AT(mkdirat, MKDIR, (int at, const char *path, mode_t mode), int COMMA const char * COMMA mode_t, (at, path, mode))
ON_PATH_AT(unlinkat, UNLINK, (int at, const char *path, int flags), int COMMA const char * COMMA int, (at, path, flags))
ON_PATH_AT(fstatat, STAT, (int at, const char *path, struct stat *found, int flags),
           int COMMA const char * COMMA struct stat * COMMA int, (at, path, found, flags))
ON_PATH_AT(fstatat64, STAT, (int at, const char *path, struct stat64 *found, int flags),
           int COMMA const char * COMMA struct stat64 * COMMA int, (at, path, found, flags))
ON_PATH_AT(utimensat, TIMES, (int at, const char *path, const struct timespec times[2], int flags),
           int COMMA const char * COMMA const struct timespec * COMMA int, (at, path, times, flags))

#define TWO_PATHS(name, kind)                                                    \
    int name(const char *path, const char *to) {                                 \
        REAL(int, #name, const char *, const char *);                            \
        return (below(path) || below(to)) && hit(kind, to, -1) == 1 ? -1 : real(path, to); \
    }
TWO_PATHS(rename, RENAME)
TWO_PATHS(link, LINK)
int renameat(int at, const char *path, int to_at, const char *to) {
    REAL(int, "renameat", int, const char *, int, const char *);
    return (below_at(at, path) || below_at(to_at, to)) && hit(RENAME, to, -1) == 1 ? -1 : real(at, path, to_at, to);
}
int linkat(int at, const char *path, int to_at, const char *to, int flags) {
    REAL(int, "linkat", int, const char *, int, const char *, int);
    return (below_at(at, path) || below_at(to_at, to)) && hit(LINK, to, -1) == 1 ? -1 : real(at, path, to_at, to, flags);
}

int close(int fd) {
    REAL(int, "close", int);
    int mine = ours(fd), fails = mine && hit(CLOSE, NULL, fd) == 1;
    track(fd, 0);
    int result = real(fd);
    if (!fails) return result;
    errno = state->armed_errno;
    return -1;
}
int dup(int fd) {
    REAL(int, "dup", int);
    return track(real(fd), ours(fd));
}
int dup2(int fd, int to) {
    REAL(int, "dup2", int, int);
    return track(real(fd, to), ours(fd));
}

DIR *opendir(const char *path) {
    REAL(DIR *, "opendir", const char *);
    int mine = below(path);
    if (mine && hit(LIST, path, -1) == 1) return NULL;
    DIR *found = real(path);
    if (found) track(dirfd(found), mine);
    return found;
}
DIR *fdopendir(int fd) {
    REAL(DIR *, "fdopendir", int);
    return ours(fd) && hit(LIST, NULL, fd) == 1 ? NULL : real(fd);
}
struct dirent64 *readdir64(DIR *from) {
    REAL(struct dirent64 *, "readdir64", DIR *);
    return ours(dirfd(from)) && hit(LIST, NULL, dirfd(from)) == 1 ? NULL : real(from);
}
struct dirent *readdir(DIR *from) {
    REAL(struct dirent *, "readdir", DIR *);
    return ours(dirfd(from)) && hit(LIST, NULL, dirfd(from)) == 1 ? NULL : real(from);
}
int closedir(DIR *from) {
    REAL(int, "closedir", DIR *);
    track(dirfd(from), 0);
    return real(from);
}

#define MAPS(name)                                                               \
    void *name(void *address, size_t size, int protection, int flags, int fd, off_t offset) { \
        REAL(void *, #name, void *, size_t, int, int, int, off_t);               \
        return ours(fd) && hit(MAP, NULL, fd) == 1 ? MAP_FAILED : real(address, size, protection, flags, fd, offset); \
    }
MAPS(mmap)
MAPS(mmap64)
