/*
 * The references of the kernel's benchmark, in C: `plain` draws one pixel after the other, `vectorized` four vectors of
 * eight pixels at a time (GCC's vector extensions; AVX-512 where the processor has it).
 *
 *   escape WIDTH HEIGHT ITERATIONS XA XB YA YB CX CY
 *
 * For each line on standard input, `plain` or `vectorized`, draws once and prints the milliseconds it took and a sum of
 * the picture.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef double f8 __attribute__((vector_size(64)));
typedef int64_t i8 __attribute__((vector_size(64)));

enum { VECTORS = 4, LANES = 8 };

static int width, height, iterations;
static double xa, xb, ya, yb, cx, cy;

static double at(int k, int size, double a, double b) { return k * (b - a) / (size - 1) + a; }

static uint8_t colour(int64_t i) { return (i >= iterations ? iterations - 1 : i) & 31; }

__attribute__((noinline)) static void plain(uint8_t *out) {
  for (int y = 0; y < height; y++) {
    for (int x = 0; x < width; x++) {
      double zx = at(x, width, xa, xb), zy = at(y, height, ya, yb);
      int i = 0;
      for (; i < iterations; i++) {
        double xx = zx * zx, yy = zy * zy;
        if (xx + yy > 4) break;
        double xy = zx * zy;
        zx = xx - yy + cx;
        zy = xy + xy + cy;
      }
      *out++ = colour(i);
    }
  }
}

__attribute__((noinline)) static void vectorized(uint8_t *out) {
  for (int y = 0; y < height; y++) {
    for (int x = 0; x < width; x += VECTORS * LANES) {
      f8 zx[VECTORS], zy[VECTORS];
      i8 count[VECTORS], inside[VECTORS];
      for (int v = 0; v < VECTORS; v++) {
        for (int l = 0; l < LANES; l++) zx[v][l] = at(x + v * LANES + l, width, xa, xb);
        zy[v] = (f8){} + at(y, height, ya, yb);
        count[v] = (i8){};
        inside[v] = (i8){} - 1;
      }
      for (int i = 0; i < iterations; i += 4) {
        for (int k = 0; k < 4; k++) {
          for (int v = 0; v < VECTORS; v++) {
            f8 xx = zx[v] * zx[v], yy = zy[v] * zy[v], xy = zx[v] * zy[v];
            inside[v] &= (xx + yy <= 4.0);
            count[v] -= inside[v];
            zx[v] = xx - yy + cx;
            zy[v] = xy + xy + cy;
          }
        }
        i8 any = inside[0] | inside[1] | inside[2] | inside[3];
        int64_t left = 0;
        for (int l = 0; l < LANES; l++) left |= any[l];
        if (!left) break;
      }
      for (int v = 0; v < VECTORS; v++) {
        for (int l = 0; l < LANES; l++) {
          int k = x + v * LANES + l;
          if (k < width) out[(size_t)y * width + k] = colour(count[v][l]);
        }
      }
    }
  }
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
  if (argc != 10) return 2;
  width = atoi(argv[1]);
  height = atoi(argv[2]);
  iterations = atoi(argv[3]);
  double *bounds[] = {&xa, &xb, &ya, &yb, &cx, &cy};
  for (int k = 0; k < 6; k++) *bounds[k] = atof(argv[4 + k]);
  uint8_t *out = malloc((size_t)width * height);
  char line[32];
  while (fgets(line, sizeof line, stdin)) {
    double begun = now();
    if (line[0] == 'p') plain(out);
    else vectorized(out);
    double ms = now() - begun;
    uint64_t sum = 0;
    for (size_t k = 0; k < (size_t)width * height; k++) sum = sum * 31 + out[k];
    printf("%.4f %016llx\n", ms, (unsigned long long)sum);
    fflush(stdout);
  }
}
