/* Streams and events. Work is queued and, unless told otherwise, runs only when somebody waits for it, and
 * then no more than has to: a missing synchronisation or event wait shows as memory that nobody has written
 * yet. */
#define _GNU_SOURCE
#include "private.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STREAM_MAGIC UINT64_C(0x73747265616d2121)
#define EVENT_MAGIC  UINT64_C(0x6576656e74212121)
#define MOST_QUEUED  100000

typedef enum kind { WORK, RECORD, WAIT } kind;

typedef struct entry {
    kind          kind;
    emu_work     *work;
    cudaEvent_t   event;
    uint64_t      number; /* of the record */
    cudaStream_t  source; /* WAIT: where the record is queued */
    struct entry *next;
} entry;

struct CUstream_st {
    uint64_t     magic;
    unsigned     flags;
    int          device; /* current when it was made */
    entry       *first, *last;
    int64_t      queued;
    emu_capture *capture;
    emu_front    front; /* in the capture */
    cudaStream_t next;  /* in the list of all */
    bool         running;
};

struct CUevent_st {
    uint64_t     magic;
    unsigned     flags;
    int          device;     /* current when it was made */
    int          references; /* the user's, and one for each queued entry */
    bool         destroyed;
    uint64_t     recorded, done; /* numbers of the latest record queued and the latest that ran */
    cudaStream_t stream;         /* of the latest record */
    double       time;           /* when it ran, seconds */
    uint64_t     capture;        /* number of the capture it was last recorded in, 0 if none */
    emu_front    front;
};

static struct CUstream_st legacy = { .magic = STREAM_MAGIC };
static cudaStream_t       streams;
static int64_t            n_streams, n_events;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

emu_work *emu_work_make(const char *what, void (*run)(void *), void (*release)(void *), void *data)
{
    emu_work *work = emu_allocate(sizeof *work);
    *work = (emu_work){ .run = run, .release = release, .data = data, .what = what, .references = 1 };
    return work;
}

void emu_work_drop(emu_work *work)
{
    if (!work || --work->references > 0) return;
    if (work->release) work->release(work->data);
    free(work);
}

static cudaStream_t stream_of(cudaStream_t stream)
{
    if (!stream || stream == cudaStreamLegacy) return &legacy;
    for (cudaStream_t s = streams; s; s = s->next)
        if (s == stream) return s;
    return NULL;
}

bool emu_stream_valid(cudaStream_t stream)
{
    return stream_of(stream) != NULL;
}
bool emu_stream_launches(cudaStream_t stream)
{
    cudaStream_t s = stream_of(stream);
    return s == &legacy || (s && s->device == emu_current_device());
}
bool emu_stream_capturing(cudaStream_t stream)
{
    cudaStream_t s = stream_of(stream);
    return s && s->capture;
}

/* A capture of this thread that is not relaxed, or another thread's that is global. */
static bool forbids(const emu_capture *capture)
{
    enum cudaStreamCaptureMode mode = emu_capture_mode(capture);
    return mode == cudaStreamCaptureModeGlobal ||
           (mode == cudaStreamCaptureModeThreadLocal && emu_capture_here(capture));
}

/* Work in the legacy stream waits for all blocking streams: for none that is captured, whoever captures it.
 */
static bool ties_legacy(cudaStream_t stream)
{
    return stream->capture && (forbids(stream->capture) || !(stream->flags & cudaStreamNonBlocking));
}

static bool legacy_forbidden(void)
{
    for (cudaStream_t s = streams; s; s = s->next)
        if (ties_legacy(s)) return true;
    return false;
}

bool emu_capture_forbids(void)
{
    for (cudaStream_t s = streams; s; s = s->next)
        if (s->capture && forbids(s->capture)) return true;
    return false;
}

cudaError_t emu_capture_breaks(cudaError_t error)
{
    for (cudaStream_t s = streams; s; s = s->next)
        if (s->capture && (forbids(s->capture) || emu_capture_here(s->capture) ||
                           (error == cudaErrorStreamCaptureImplicit && ties_legacy(s))))
            emu_capture_spoil(s->capture);
    return error;
}

int64_t emu_stream_count(void)
{
    return n_streams;
}
int64_t emu_event_count(void)
{
    return n_events;
}

/* The capture an event was recorded in, while that capture lasts. */
static emu_capture *capture_of(cudaEvent_t event)
{
    for (cudaStream_t s = streams; s; s = s->next)
        if (s->capture && emu_capture_number(s->capture) == event->capture) return s->capture;
    return NULL;
}

static void event_drop(cudaEvent_t event)
{
    if (--event->references > 0) return;
    emu_front_clear(&event->front);
    event->magic = 0;
    free(event);
}

/* ---- Running ---- */
static void run_until(cudaStream_t stream, cudaEvent_t event, uint64_t number);

static void run_first(cudaStream_t stream)
{
    entry *e = stream->first;
    if (e->kind == WAIT && e->event->done < e->number && stream_of(e->source))
        run_until(e->source, e->event, e->number);
    stream->first = e->next;
    if (!stream->first) stream->last = NULL;
    stream->queued--;
    switch (e->kind) {
    case WORK:
        if (!emu_sticky()) e->work->run(e->work->data);
        emu_work_drop(e->work);
        break;
    case RECORD:
        if (e->event->done < e->number) e->event->done = e->number;
        e->event->time = now();
        event_drop(e->event);
        break;
    case WAIT: event_drop(e->event); break;
    }
    free(e);
}

static void run_until(cudaStream_t stream, cudaEvent_t event, uint64_t number)
{
    while (stream->first && event->done < number) run_first(stream);
}

static void drain(cudaStream_t stream)
{
    while (stream->first) run_first(stream);
}

void emu_drain_all(void)
{
    drain(&legacy);
    for (cudaStream_t s = streams; s; s = s->next) drain(s);
}

cudaError_t emu_stream_drain(cudaStream_t stream)
{
    cudaStream_t s = stream_of(stream);
    if (!s) return cudaErrorInvalidResourceHandle;
    drain(s);
    return cudaSuccess;
}

void emu_forget_work(void)
{
    cudaStream_t s = &legacy;
    while (s) {
        while (s->first) {
            entry *e = s->first;
            s->first = e->next;
            if (e->work) emu_work_drop(e->work);
            if (e->event) event_drop(e->event);
            free(e);
        }
        s->last = NULL;
        s->queued = 0;
        s = s == &legacy ? streams : s->next;
    }
}

/* The default stream and the blocking ones take turns: whoever gets work lets the other finish first. */
static void take_turns(cudaStream_t stream)
{
    if (stream == &legacy) {
        for (cudaStream_t s = streams; s; s = s->next)
            if (!(s->flags & cudaStreamNonBlocking)) drain(s);
    } else if (!(stream->flags & cudaStreamNonBlocking)) {
        drain(&legacy);
    }
}

static void append(cudaStream_t stream, entry model)
{
    entry *e = emu_allocate(sizeof *e);
    take_turns(stream);
    *e = model;
    e->next = NULL;
    if (stream->last)
        stream->last->next = e;
    else
        stream->first = e;
    stream->last = e;
    stream->queued++;
    if (!emu_set()->deferred || stream->queued > MOST_QUEUED) drain(stream);
}

cudaError_t emu_enqueue(cudaStream_t stream, emu_work *work)
{
    cudaStream_t s = stream_of(stream);
    cudaError_t  error = cudaSuccess;
    if (!s)
        error = cudaErrorInvalidResourceHandle;
    else if (s->capture && emu_capture_spoilt(s->capture))
        error = cudaErrorStreamCaptureInvalidated;
    else if (s->capture)
        emu_capture_add(s->capture, &s->front, work);
    else if (s == &legacy && legacy_forbidden())
        error = emu_capture_breaks(cudaErrorStreamCaptureImplicit);
    else
        append(s, (entry){ .kind = WORK, .work = work });
    if (error || (s && s->capture)) emu_work_drop(work);
    return error;
}

/* Takes all streams out of the capture. Without pGraph what was captured is thrown away. */
static cudaError_t end_capture(emu_capture *capture, cudaGraph_t *pGraph)
{
    cudaError_t  error = emu_capture_spoilt(capture) ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
    cudaStream_t origin = emu_capture_origin(capture);
    for (cudaStream_t other = streams; other; other = other->next)
        if (other->capture == capture && !error &&
            !emu_capture_joined(capture, &origin->front, &other->front))
            error = cudaErrorStreamCaptureUnjoined;
    for (cudaStream_t other = streams; other; other = other->next)
        if (other->capture == capture) {
            other->capture = NULL;
            emu_front_clear(&other->front);
        }
    if (error || !pGraph)
        emu_capture_drop(capture);
    else
        *pGraph = emu_capture_finish(capture);
    return error;
}

/* ---- Streams ---- */
static cudaError_t create(const char *name, cudaStream_t *pStream, unsigned flags)
{
    cudaError_t error = emu_enter(name, cudaErrorMemoryAllocation, false);
    if (error) return error;
    if (!pStream || flags & ~(unsigned)cudaStreamNonBlocking) return emu_leave(cudaErrorInvalidValue);
    cudaStream_t s = emu_allocate(sizeof *s);
    s->magic = STREAM_MAGIC;
    s->flags = flags;
    s->device = emu_current_device();
    s->next = streams;
    streams = s;
    n_streams++;
    *pStream = s;
    return emu_leave(cudaSuccess);
}

cudaError_t cudaStreamCreate(cudaStream_t *pStream)
{
    return create("cudaStreamCreate", pStream, 0);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *pStream, unsigned int flags)
{
    return create("cudaStreamCreateWithFlags", pStream, flags);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *pStream, unsigned int flags, int priority)
{
    (void)priority; /* clamped by CUDA to what the device has: nothing to refuse */
    return create("cudaStreamCreateWithPriority", pStream, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    cudaError_t error = emu_enter("cudaStreamDestroy", cudaErrorUnknown, true);
    if (error) return error;
    cudaStream_t s = stream_of(stream);
    if (!s || s == &legacy) return emu_leave(cudaErrorInvalidResourceHandle);
    if (s->capture) end_capture(s->capture, NULL);
    drain(s);
    for (cudaStream_t *at = &streams; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    emu_front_clear(&s->front);
    s->magic = 0;
    free(s);
    n_streams--;
    return emu_leave(cudaSuccess);
}

/* A call that waits for the device while a capture is under way spoils the capture. Waiting for, or asking
 * after, anything else is among the calls that drivers count as potentially unsafe and refuse to a thread
 * that is capturing. */
static cudaError_t wait_is_legal(cudaStream_t stream)
{
    if (stream && stream->capture) {
        emu_capture_spoil(stream->capture);
        return cudaErrorStreamCaptureUnsupported;
    }
    if (stream == &legacy && legacy_forbidden()) return emu_capture_breaks(cudaErrorStreamCaptureImplicit);
    if (emu_capture_forbids()) return emu_capture_breaks(cudaErrorStreamCaptureUnsupported);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    cudaError_t error = emu_enter("cudaStreamSynchronize", cudaErrorUnknown, false);
    if (error) return error;
    cudaStream_t s = stream_of(stream);
    if (!s) return emu_leave(cudaErrorInvalidResourceHandle);
    if ((error = wait_is_legal(s))) return emu_leave(error);
    take_turns(s);
    drain(s);
    if (ss_emulator_check_memory() > 0) emu_stick(cudaErrorIllegalAddress);
    return emu_leave(cudaSuccess);
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    cudaError_t error = emu_enter("cudaStreamQuery", cudaErrorUnknown, false);
    if (error) return error;
    cudaStream_t s = stream_of(stream);
    if (!s) return emu_leave(cudaErrorInvalidResourceHandle);
    if ((error = wait_is_legal(s))) return emu_leave(error);
    if (!s->first) return emu_leave(cudaSuccess);
    run_first(s); /* so that polling comes to an end */
    return emu_leave(cudaErrorNotReady);
}

cudaError_t cudaDeviceSynchronize(void)
{
    cudaError_t error = emu_enter("cudaDeviceSynchronize", cudaErrorUnknown, false);
    if (error) return error;
    if (emu_capture_forbids()) return emu_leave(emu_capture_breaks(cudaErrorStreamCaptureUnsupported));
    emu_drain_all();
    if (ss_emulator_check_memory() > 0) emu_stick(cudaErrorIllegalAddress);
    return emu_leave(cudaSuccess);
}

/* ---- Events ---- */
static cudaError_t event_create(const char *name, cudaEvent_t *event, unsigned flags)
{
    cudaError_t error = emu_enter(name, cudaErrorMemoryAllocation, false);
    if (error) return error;
    if (!event || flags & ~(unsigned)(cudaEventBlockingSync | cudaEventDisableTiming))
        return emu_leave(cudaErrorInvalidValue);
    cudaEvent_t e = emu_allocate(sizeof *e);
    e->magic = EVENT_MAGIC;
    e->flags = flags;
    e->device = emu_current_device();
    e->references = 1;
    n_events++;
    *event = e;
    return emu_leave(cudaSuccess);
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return event_create("cudaEventCreate", event, 0);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags)
{
    return event_create("cudaEventCreateWithFlags", event, flags);
}

static bool event_valid(cudaEvent_t event)
{
    return event && event->magic == EVENT_MAGIC && !event->destroyed;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    cudaError_t error = emu_enter("cudaEventDestroy", cudaErrorUnknown, true);
    if (error) return error;
    if (!event_valid(event)) return emu_leave(cudaErrorInvalidResourceHandle);
    event->destroyed = true;
    n_events--;
    event_drop(event);
    return emu_leave(cudaSuccess);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    cudaError_t error = emu_enter("cudaEventRecord", cudaErrorUnknown, false);
    if (error) return error;
    cudaStream_t s = stream_of(stream);
    if (!s || !event_valid(event)) return emu_leave(cudaErrorInvalidResourceHandle);
    if (s != &legacy && s->device != event->device) return emu_leave(cudaErrorInvalidResourceHandle);
    if (s->capture) {
        if (emu_capture_spoilt(s->capture)) return emu_leave(cudaErrorStreamCaptureInvalidated);
        event->capture = emu_capture_number(s->capture);
        emu_front_copy(&event->front, &s->front);
        return emu_leave(cudaSuccess);
    }
    if (s == &legacy && legacy_forbidden())
        return emu_leave(emu_capture_breaks(cudaErrorStreamCaptureImplicit));
    event->capture = 0;
    event->stream = s;
    event->references++;
    append(s, (entry){ .kind = RECORD, .event = event, .number = ++event->recorded });
    return emu_leave(cudaSuccess);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int flags)
{
    cudaError_t error = emu_enter("cudaStreamWaitEvent", cudaErrorUnknown, false);
    if (error) return error;
    cudaStream_t s = stream_of(stream);
    if (!s || !event_valid(event)) return emu_leave(cudaErrorInvalidResourceHandle);
    if (flags) return emu_leave(cudaErrorInvalidValue);
    emu_capture *capture = event->capture ? capture_of(event) : NULL;
    if (event->capture && !capture) return emu_leave(cudaErrorCapturedEvent);
    if (capture) {
        if (emu_capture_spoilt(capture)) return emu_leave(cudaErrorStreamCaptureInvalidated);
        if (s == &legacy) return emu_leave(emu_capture_breaks(cudaErrorStreamCaptureImplicit));
        if (s->capture && s->capture != capture)
            return emu_leave(emu_capture_breaks(cudaErrorStreamCaptureMerge));
        s->capture = capture; /* the stream joins the capture */
        emu_front_merge(&s->front, &event->front);
        return emu_leave(cudaSuccess);
    }
    if (s->capture) return emu_leave(emu_capture_breaks(cudaErrorStreamCaptureIsolation));
    if (event->recorded > event->done) {
        event->references++;
        append(s,
               (entry){ .kind = WAIT, .event = event, .number = event->recorded, .source = event->stream });
    }
    return emu_leave(cudaSuccess);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    cudaError_t error = emu_enter("cudaEventSynchronize", cudaErrorUnknown, false);
    if (error) return error;
    if (!event_valid(event)) return emu_leave(cudaErrorInvalidResourceHandle);
    if (event->capture) return emu_leave(emu_capture_breaks(cudaErrorCapturedEvent));
    if ((error = wait_is_legal(NULL))) return emu_leave(error);
    if (event->recorded > event->done && stream_of(event->stream))
        run_until(event->stream, event, event->recorded);
    return emu_leave(cudaSuccess);
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    cudaError_t error = emu_enter("cudaEventQuery", cudaErrorUnknown, false);
    if (error) return error;
    if (!event_valid(event)) return emu_leave(cudaErrorInvalidResourceHandle);
    if (event->capture) return emu_leave(emu_capture_breaks(cudaErrorCapturedEvent));
    if ((error = wait_is_legal(NULL))) return emu_leave(error);
    if (event->recorded <= event->done) return emu_leave(cudaSuccess);
    if (event->stream->first) run_first(event->stream);
    return emu_leave(cudaErrorNotReady);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    cudaError_t error = emu_enter("cudaEventElapsedTime", cudaErrorUnknown, false);
    if (error) return error;
    if (!ms) return emu_leave(cudaErrorInvalidValue);
    if (!event_valid(start) || !event_valid(end) || !start->recorded || !end->recorded ||
        (start->flags | end->flags) & cudaEventDisableTiming)
        return emu_leave(cudaErrorInvalidResourceHandle);
    if (start->recorded > start->done || end->recorded > end->done) return emu_leave(cudaErrorNotReady);
    *ms = (float)(1e3 * (end->time - start->time));
    return emu_leave(cudaSuccess);
}

/* ---- Capture ---- */
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    cudaError_t error = emu_enter("cudaStreamBeginCapture", cudaErrorUnknown, false);
    if (error) return error;
    cudaStream_t s = stream_of(stream);
    if (!s) return emu_leave(cudaErrorInvalidResourceHandle);
    if (s == &legacy) return emu_leave(cudaErrorStreamCaptureUnsupported);
    if (s->capture || (unsigned)mode > cudaStreamCaptureModeRelaxed) return emu_leave(cudaErrorInvalidValue);
    s->capture = emu_capture_new(s, mode);
    emu_front_clear(&s->front);
    return emu_leave(cudaSuccess);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *pCaptureStatus)
{
    cudaError_t error = emu_enter("cudaStreamIsCapturing", cudaErrorUnknown, false);
    if (error) return error;
    cudaStream_t s = stream_of(stream);
    if (!s) return emu_leave(cudaErrorInvalidResourceHandle);
    if (!pCaptureStatus) return emu_leave(cudaErrorInvalidValue);
    if (s == &legacy && legacy_forbidden()) return emu_leave(cudaErrorStreamCaptureImplicit);
    *pCaptureStatus = !s->capture                      ? cudaStreamCaptureStatusNone
                      : emu_capture_spoilt(s->capture) ? cudaStreamCaptureStatusInvalidated
                                                       : cudaStreamCaptureStatusActive;
    return emu_leave(cudaSuccess);
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *pGraph)
{
    cudaError_t error = emu_enter("cudaStreamEndCapture", cudaErrorUnknown, true);
    if (error) return error;
    cudaStream_t s = stream_of(stream);
    if (!s) return emu_leave(cudaErrorInvalidResourceHandle);
    if (!pGraph) return emu_leave(cudaErrorInvalidValue);
    *pGraph = NULL;
    emu_capture *capture = s->capture;
    if (!capture) return emu_leave(cudaErrorInvalidValue);
    if (emu_capture_origin(capture) != s) return emu_leave(cudaErrorStreamCaptureUnmatched);
    if (emu_capture_mode(capture) != cudaStreamCaptureModeRelaxed && !emu_capture_here(capture))
        return emu_leave(cudaErrorStreamCaptureWrongThread);
    return emu_leave(end_capture(capture, emu_failing() ? NULL : pGraph));
}
