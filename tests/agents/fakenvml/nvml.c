/* SPDX-License-Identifier: Apache-2.0
 *
 * A stand-in for the NVIDIA management library, written from the facts of nvml.h (names,
 * argument order, struct layouts, codes). The tests build it as libnvidia-ml.so.1, so that the
 * unmodified Python binding drives it. It proves our calls and our handling of errors, and
 * nothing about a real driver.
 *
 * A scenario is text, one command a line, read from the file that FAKENVML names at the first
 * nvmlInit, or given to fake_scenario():
 *   gpus N                      how many GPUs there are
 *   fail CALL CODE GPU FIRST N  from the FIRST-th call on (1-based), N times (0: for ever),
 *                               CALL returns CODE; GPU -1 means every one
 *   field ID CODE               that field value carries CODE while the call succeeds
 *   type ID TYPE                that field value comes as another member of the union
 *   hang CALL [GPU]             CALL does not return until fake_release()
 *   mig GPU                     MIG is on: utilisation is not supported
 *   xid GPU NUMBER              an XID happens
 *   clear                       forget all failures
 * OLD_DRIVER leaves out the functions that drivers before R535 do not have.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, INSUFFICIENT = 7,
       TIMEOUT = 10, MAX_GPUS = 16, MAX_RULES = 64, MAX_EVENTS = 4096 };

typedef struct { int index; } Device;
typedef Device *Handle;
typedef struct { char call[64]; int code, gpu; long first, times; } Rule;
typedef struct { unsigned id; int code, type; } FieldRule;
typedef union { double d; unsigned ui; unsigned long ul; unsigned long long ull; long long sll;
                int si; unsigned short us; } Value;
typedef struct { unsigned id, scope; long long time, latency; int type, code; Value value; } Field;
typedef struct { Handle device; unsigned long long type, data; unsigned gi, ci; } Event;
typedef struct { unsigned version; int sensor, temperature; } TemperatureV1;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } MemoryV2;
typedef struct { unsigned long long total, free, used; } MemoryV1;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static Device devices[MAX_GPUS];
static Rule rules[MAX_RULES];
static FieldRule field_rules[MAX_RULES];
static struct { char call[64]; int gpu; long n; } counts[MAX_RULES * 8];
static struct { int gpu; unsigned long long xid; } events[MAX_EVENTS];
static unsigned char registered[MAX_GPUS], mig[MAX_GPUS];
static char hang[64];
static int hang_gpu = -1, gpus = 2, initialised, n_rules, n_field_rules, n_counts, n_events, event_sets;
static long calls;

static long count(const char *call, int gpu) {
    for (int i = 0; i < n_counts; i++)
        if (counts[i].gpu == gpu && !strcmp(counts[i].call, call)) return ++counts[i].n;
    if (n_counts == MAX_RULES * 8) abort();
    snprintf(counts[n_counts].call, sizeof counts[0].call, "%s", call);
    counts[n_counts].gpu = gpu;
    return counts[n_counts++].n = 1;
}

/* Called first by every function: counts, hangs and fails as the scenario says. */
static int enter(const char *call, int gpu, int needs_init) {
    int code = OK;
    pthread_mutex_lock(&lock);
    calls++;
    while (hang[0] && !strcmp(hang, call) && (hang_gpu < 0 || hang_gpu == gpu))
        pthread_cond_wait(&changed, &lock);
    long n = count(call, gpu);
    if (needs_init && !initialised) code = UNINITIALIZED;
    for (int i = 0; i < n_rules && code == OK; i++) {
        Rule *r = &rules[i];
        if (strcmp(r->call, call) && strcmp(r->call, "*")) continue;
        if (r->gpu >= 0 && r->gpu != gpu) continue;
        if (n >= r->first && (!r->times || n < r->first + r->times)) code = r->code;
    }
    pthread_mutex_unlock(&lock);
    return code;
}
#define ENTER(gpu) do { int code_ = enter(__func__, gpu, 1); if (code_) return code_; } while (0)
#define DEVICE(d) do { if ((d) < devices || (d) >= devices + gpus) { return INVALID_ARGUMENT; } \
    ENTER((d)->index); } while (0)

static void command(const char *line) {
    char call[64] = ""; int a = 0, b = -1; long first = 1, times = 0; unsigned id = 0;
    if (sscanf(line, "gpus %d", &a) == 1) gpus = a < MAX_GPUS ? a : MAX_GPUS;
    else if (sscanf(line, "fail %63s %d %d %ld %ld", call, &a, &b, &first, &times) >= 2) {
        if (n_rules == MAX_RULES) abort();
        Rule *r = &rules[n_rules++];
        strcpy(r->call, call); r->code = a; r->gpu = b; r->first = first; r->times = times;
    } else if (sscanf(line, "field %u %d", &id, &a) == 2)
        field_rules[n_field_rules++] = (FieldRule){id, a, 1};
    else if (sscanf(line, "type %u %d", &id, &a) == 2)
        field_rules[n_field_rules++] = (FieldRule){id, OK, a};
    else if (sscanf(line, "hang %63s %d", call, &b) >= 1) { strcpy(hang, call); hang_gpu = b; }
    else if (sscanf(line, "mig %d", &a) == 1) mig[a] = 1;
    else if (sscanf(line, "xid %d %d", &b, &a) == 2) {
        if (n_events < MAX_EVENTS) { events[n_events].gpu = b; events[n_events++].xid = a; }
    } else if (!strncmp(line, "clear", 5)) {
        n_rules = n_field_rules = n_counts = 0; hang[0] = 0; memset(mig, 0, sizeof mig);
    } else if (line[0] && line[0] != '#') { fprintf(stderr, "fakenvml: %s?\n", line); abort(); }
    pthread_cond_broadcast(&changed);
}

void fake_scenario(const char *text) {
    char line[256];
    pthread_mutex_lock(&lock);
    while (*text) {
        size_t n = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)n, text);
        command(line);
        text += n + (text[n] == '\n');
    }
    pthread_mutex_unlock(&lock);
}
void fake_release(void) {
    pthread_mutex_lock(&lock); hang[0] = 0; pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}
void fake_unload(void) { pthread_mutex_lock(&lock); initialised = 0; pthread_mutex_unlock(&lock); }
long fake_calls(void) { return calls; }
int fake_initialised(void) { return initialised; }
int fake_event_sets(void) { return event_sets; }

int nvmlInitWithFlags(unsigned flags) {
    static int loaded;
    const char *path = getenv("FAKENVML");
    (void)flags;
    if (!loaded++ && path) {
        static char text[65536];
        FILE *file = fopen(path, "r");
        if (!file) abort();
        text[fread(text, 1, sizeof text - 1, file)] = 0;
        fclose(file);
        fake_scenario(text);
    }
    int code = enter(__func__, -1, 0);
    if (code) return code;
    for (int i = 0; i < MAX_GPUS; i++) devices[i].index = i;
    initialised++;
    return OK;
}
int nvmlShutdown(void) { ENTER(-1); initialised--; return OK; }
const char *nvmlErrorString(int code) { (void)code; return "an error of the stand-in"; }
int nvmlSystemGetDriverVersion(char *out, unsigned n) {
    ENTER(-1); return snprintf(out, n, "570.86.15") < (int)n ? OK : INSUFFICIENT; }
int nvmlDeviceGetCount_v2(unsigned *n) { ENTER(-1); *n = (unsigned)gpus; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, Handle *d) {
    ENTER((int)i); if ((int)i >= gpus) return INVALID_ARGUMENT; *d = &devices[i]; return OK; }
static void uuid_of(int i, char *out, unsigned n) {
    snprintf(out, n, "GPU-%08x-0000-4000-8000-%012x", 0xa0000000u + (unsigned)i, (unsigned)i); }
int nvmlDeviceGetHandleByUUID(const char *uuid, Handle *d) {
    char own[96];
    for (int i = 0; i < gpus; i++) {
        uuid_of(i, own, sizeof own);
        if (!strcmp(own, uuid)) { ENTER(i); *d = &devices[i]; return OK; }
    }
    return 6; /* NOT_FOUND */
}
int nvmlDeviceGetUUID(Handle d, char *out, unsigned n) {
    DEVICE(d); uuid_of(d->index, out, n); return OK; }
int nvmlDeviceGetName(Handle d, char *out, unsigned n) {
    DEVICE(d); snprintf(out, n, "NVIDIA H100 80GB HBM3"); return OK; }
int nvmlDeviceGetSerial(Handle d, char *out, unsigned n) {
    DEVICE(d); snprintf(out, n, "16530230%05d", d->index); return OK; }

int nvmlDeviceGetPowerUsage(Handle d, unsigned *mw) {
    DEVICE(d); *mw = 412345u + 1000u * (unsigned)d->index; return OK; }
int nvmlDeviceGetTotalEnergyConsumption(Handle d, unsigned long long *mj) {
    DEVICE(d); *mj = 7200000000ULL * (unsigned)(d->index + 1); return OK; }
int nvmlDeviceGetTemperature(Handle d, int sensor, unsigned *c) {
    DEVICE(d); if (sensor) return INVALID_ARGUMENT; *c = 61u; return OK; }
static int field_value(Field *f) {
    unsigned raw = f->id == 186 ? 498765u : f->id == 82 ? 74u : 0u;
    f->time = 1; f->latency = 5; f->type = 1; f->code = raw ? OK : NOT_SUPPORTED;
    for (int i = 0; i < n_field_rules; i++)
        if (field_rules[i].id == f->id) { f->code = field_rules[i].code; f->type = field_rules[i].type; }
    memset(&f->value, 0xa5, sizeof f->value); /* the unused bytes of the union are garbage */
    switch (f->type) {
    case 0: f->value.d = raw; break;
    case 1: f->value.ui = raw; break;
    case 2: f->value.ul = raw; break;
    case 3: f->value.ull = raw; break;
    case 4: f->value.sll = raw; break;
    case 5: f->value.si = (int)raw; break;
    case 6: f->value.us = (unsigned short)raw; break;
    default: break;
    }
    return OK;
}
int nvmlDeviceGetFieldValues(Handle d, int n, Field *fields) {
    DEVICE(d); for (int i = 0; i < n; i++) field_value(&fields[i]); return OK; }
int nvmlDeviceGetUtilizationRates(Handle d, unsigned *u) {
    DEVICE(d); if (mig[d->index]) return NOT_SUPPORTED; u[0] = 97; u[1] = 42; return OK; }
int nvmlDeviceGetMemoryInfo(Handle d, MemoryV1 *m) {
    DEVICE(d); m->total = 85899345920ULL; m->used = 70000000000ULL;
    m->free = m->total - m->used; return OK; }
int nvmlDeviceGetClockInfo(Handle d, int type, unsigned *mhz) {
    DEVICE(d); *mhz = type == 1 ? 1980u : type == 2 ? 2619u : 0u; return OK; }
int nvmlDeviceGetCurrentClocksThrottleReasons(Handle d, unsigned long long *r) {
    DEVICE(d); *r = 4; return OK; }
#ifndef OLD_DRIVER
int nvmlDeviceGetTemperatureV(Handle d, TemperatureV1 *t) {
    DEVICE(d); if (t->version != 0x100000c || t->sensor) return 25; t->temperature = 62; return OK; }
int nvmlDeviceGetMemoryInfo_v2(Handle d, MemoryV2 *m) {
    DEVICE(d); if (m->version != 0x2000028) return 25;
    m->total = 85899345920ULL; m->reserved = 600000000ULL; m->used = 69400000000ULL;
    m->free = m->total - m->used - m->reserved; return OK; }
int nvmlDeviceGetCurrentClocksEventReasons(Handle d, unsigned long long *r) {
    DEVICE(d); *r = 0x20; return OK; }
#endif

int nvmlDeviceGetEnforcedPowerLimit(Handle d, unsigned *mw) { DEVICE(d); *mw = 700000; return OK; }
int nvmlDeviceGetTotalEccErrors(Handle d, int kind, int counter, unsigned long long *n) {
    DEVICE(d); if (counter) return INVALID_ARGUMENT; *n = kind ? 0 : 3; return OK; }
int nvmlDeviceGetRemappedRows(Handle d, unsigned *c, unsigned *u, unsigned *p, unsigned *f) {
    DEVICE(d); *c = 2; *u = 1; *p = *f = 0; return OK; }
int nvmlDeviceGetPcieReplayCounter(Handle d, unsigned *n) { DEVICE(d); *n = 5; return OK; }
int nvmlDeviceGetMigMode(Handle d, unsigned *now, unsigned *next) {
    DEVICE(d); *now = *next = mig[d->index]; return OK; }
int nvmlDeviceGetPerformanceState(Handle d, int *p) { DEVICE(d); *p = 0; return OK; }

int nvmlEventSetCreate(void **set) {
    ENTER(-1); memset(registered, 0, sizeof registered); event_sets++; *set = &events; return OK; }
int nvmlDeviceRegisterEvents(Handle d, unsigned long long types, void *set) {
    DEVICE(d); if (set != (void *)&events || types != 8) return INVALID_ARGUMENT;
    registered[d->index] = 1; return OK; }
int nvmlEventSetFree(void *set) { (void)set; ENTER(-1); event_sets--; return OK; }
int nvmlEventSetWait_v2(void *set, Event *out, unsigned ms) {
    struct timespec until;
    (void)set;
    ENTER(-1);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)ms * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L; until.tv_nsec %= 1000000000L;
    int code = TIMEOUT;
    pthread_mutex_lock(&lock);
    while (code == TIMEOUT) {
        for (int i = 0; i < n_events && code == TIMEOUT; i++) {
            if (!registered[events[i].gpu]) continue;
            *out = (Event){&devices[events[i].gpu], 8, events[i].xid, 0, 0};
            memmove(&events[i], &events[i + 1], (size_t)(--n_events - i) * sizeof events[0]);
            code = OK;
        }
        if (code == TIMEOUT && pthread_cond_timedwait(&changed, &lock, &until)) break;
    }
    pthread_mutex_unlock(&lock);
    return code;
}
