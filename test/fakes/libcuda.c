/* A FAKE of NVIDIA's driver: memory is the host's, and a stream does at once what it is given.
   With it the tests run our own plumbing. It proves nothing about a GPU.

   It is strict where the real one is: a thread needs a context, copies stay within what was
   allocated, and what is captured is not done until the graph is launched. */
#include <stdlib.h>
#include <string.h>

enum { INVALID_VALUE = 1, NO_DEVICE = 100, INVALID_CONTEXT = 201, CAPTURE_UNSUPPORTED = 900 };
enum { BLOCKS = 64, WORKS = 64 };

typedef unsigned long long Address;
typedef struct { char *to; const char *from; size_t bytes; int doubling; } Work;
typedef struct { int count; Work works[WORKS]; } Graph;

/* For the tests to look at and to change. */
int fake_blocks, fake_graphs, fake_launches, fake_refuses_graphs;

static struct { char *start; size_t bytes; } blocks[BLOCKS];
static Graph *recording;
static __thread int current;
#define NEEDS_CONTEXT if (!current) return INVALID_CONTEXT

static int inside(const char *start, size_t bytes) {
  for (int i = 0; i < BLOCKS; i++)
    if (blocks[i].start && start >= blocks[i].start
        && start + bytes <= blocks[i].start + blocks[i].bytes)
      return 1;
  return 0;
}

static void perform(Work work) {
  if (!work.doubling) memcpy(work.to, work.from, work.bytes);
  else
    for (size_t i = 0; i < work.bytes / sizeof(float); i++)
      ((float *)work.to)[i] = 2 * ((const float *)work.from)[i];
}

static int enqueue(Address to, Address from, size_t bytes, int doubling) {
  Work work = {(char *)to, (const char *)from, bytes, doubling};
  NEEDS_CONTEXT;
  if (!inside(work.to, bytes) || !inside(work.from, bytes)) return INVALID_VALUE;
  if (recording) recording->works[recording->count++] = work;
  else perform(work);
  return 0;
}

/* The one "kernel", which the fake TensorRT enqueues. */
int fake_double(void *stream, Address to, Address from, size_t bytes) {
  return enqueue(to, from, bytes, 1);
}

static int allocate(void **pointer, size_t bytes) {
  NEEDS_CONTEXT;
  for (int i = 0; i < BLOCKS; i++)
    if (!blocks[i].start) {
      blocks[i].start = *pointer = malloc(bytes);
      blocks[i].bytes = bytes;
      fake_blocks++;
      return 0;
    }
  return INVALID_VALUE;
}

static int release(char *start) {
  NEEDS_CONTEXT;
  for (int i = 0; i < BLOCKS; i++)
    if (start && blocks[i].start == start) {
      free(start);
      blocks[i].start = NULL;
      fake_blocks--;
      return 0;
    }
  return INVALID_VALUE;
}

int cuInit(unsigned flags) { return getenv("FAKE_NO_GPU") ? NO_DEVICE : 0; }
int cuGetErrorString(int error, const char **text) {
  *text = error == NO_DEVICE ? "no CUDA-capable device is detected" : "fake error";
  return 0;
}
int cuDriverGetVersion(int *version) { *version = 12060; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char *name, int length, int device) { strncpy(name, "Fake", length); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  *value = attribute == 75 ? 8 : attribute == 76 ? 7 : -1;
  return 0;
}
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = &blocks; return 0; }
int cuDevicePrimaryCtxRelease_v2(int device) { return 0; }
int cuCtxSetCurrent(void *context) { current = context == &blocks; return 0; }
int cuMemAlloc_v2(Address *address, size_t bytes) { return allocate((void **)address, bytes); }
int cuMemFree_v2(Address address) { return release((char *)address); }
int cuMemAllocHost_v2(void **pointer, size_t bytes) { return allocate(pointer, bytes); }
int cuMemFreeHost(void *pointer) { return release(pointer); }
int cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t bytes, void *stream) {
  return enqueue(to, (Address)from, bytes, 0);
}
int cuMemcpyDtoHAsync_v2(void *to, Address from, size_t bytes, void *stream) {
  return enqueue((Address)to, from, bytes, 0);
}
int cuStreamCreate(void **stream, unsigned flags) { *stream = &current; NEEDS_CONTEXT; return 0; }
int cuStreamSynchronize(void *stream) { return recording ? CAPTURE_UNSUPPORTED : 0; }
int cuStreamDestroy_v2(void *stream) { return 0; }
int cuStreamBeginCapture_v2(void *stream, int mode) {
  if (fake_refuses_graphs) return CAPTURE_UNSUPPORTED;
  recording = calloc(1, sizeof *recording);
  return 0;
}
int cuStreamEndCapture(void *stream, void **graph) {
  *graph = recording;
  recording = NULL;
  return 0;
}
int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags) {
  *executable = malloc(sizeof(Graph));
  memcpy(*executable, graph, sizeof(Graph));
  fake_graphs++;
  return 0;
}
int cuGraphLaunch(void *executable, void *stream) {
  Graph *graph = executable;
  NEEDS_CONTEXT;
  for (int i = 0; i < graph->count; i++) perform(graph->works[i]);
  fake_launches++;
  return 0;
}
int cuGraphDestroy(void *graph) { free(graph); return 0; }
int cuGraphExecDestroy(void *executable) {
  NEEDS_CONTEXT;
  free(executable);
  fake_graphs--;
  return 0;
}
