// The job of throughput.py as a C++ programmer would write it. peers.py compiles it for N_SAMPLES.
// Without -ffast-math its operations are those of relulab's specification, in the same order.

#include <algorithm>
#include <cmath>

struct Job {
    const double *x, *target;
    long max_steps;
    double tolerance;
};

// Doubles in a vector of the processor.
#ifdef __AVX512F__
constexpr int WIDTH = 8;
#else
constexpr int WIDTH = 4;
#endif
constexpr int LANES = 16, VECTORS = LANES / WIDTH;
typedef double Vector __attribute__((vector_size(8 * WIDTH)));
typedef long Mask __attribute__((vector_size(8 * WIDTH)));

static inline double larger(double a, double b) { return std::max(std::abs(a), std::abs(b)); }

static inline Vector larger(Vector a, Vector b) {
    a = a < 0 ? -a : a;
    b = b < 0 ? -b : b;
    return a > b ? a : b;
}

template <class Number> struct Gradients {
    Number w, b, v, c, loss;
};

template <class Number>
static inline Gradients<Number> gradients(Number w, Number b, Number v, Number c, const Job &job) {
    const Number zero{}, none = -zero; // added to anything, it changes nothing
    Gradients<Number> g{none, none, none, none, none};
    for (int k = 0; k < N_SAMPLES; k++) {
        Number pre = w * job.x[k] + b;
        Number h = pre > 0 ? pre : zero;
        Number residual = v * h + c - job.target[k];
        Number gh = pre > 0 ? residual * v : zero;
        g.w += job.x[k] * gh;
        g.b += gh;
        g.v += residual * h;
        g.c += residual;
        g.loss += 0.5 * (residual * residual);
    }
    return {g.w / N_SAMPLES, g.b / N_SAMPLES, g.v / N_SAMPLES, g.c / N_SAMPLES, g.loss / N_SAMPLES};
}

// p: w, b, v, c of all networks, in rows; trained in place.
extern "C" void scalar(double *p, const double *rates, long n, const Job *given, int n_threads) {
    const Job job = *given;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 256)
    for (long i = 0; i < n; i++) {
        double w = p[i], b = p[n + i], v = p[2 * n + i], c = p[3 * n + i], rate = rates[i];
        for (long step = 0; step < job.max_steps; step++) {
            auto g = gradients(w, b, v, c, job);
            double size = std::max(larger(g.w, g.b), larger(g.v, g.c));
            if (size <= job.tolerance || !(g.loss <= 1e30))
                break;
            w -= rate * g.w;
            b -= rate * g.b;
            v -= rate * g.v;
            c -= rate * g.c;
        }
        p[i] = w, p[n + i] = b, p[2 * n + i] = v, p[3 * n + i] = c;
    }
}

// The same for LANES networks at once, which should take about as many steps; n is a multiple.
extern "C" void lanes(double *p, const double *rates, long n, const Job *given, int n_threads) {
    const Job job = *given;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 16)
    for (long first = 0; first < n; first += LANES) {
        Vector w[VECTORS], b[VECTORS], v[VECTORS], c[VECTORS], rate[VECTORS];
        for (int j = 0; j < LANES; j++) {
            int i = j / WIDTH, k = j % WIDTH;
            const double *q = p + first + j;
            w[i][k] = q[0], b[i][k] = q[n], v[i][k] = q[2 * n], c[i][k] = q[3 * n];
            rate[i][k] = rates[first + j];
        }
        for (long step = 0; step < job.max_steps; step++) {
            Mask train{};
#pragma GCC unroll 16
            for (int i = 0; i < VECTORS; i++) {
                auto g = gradients(w[i], b[i], v[i], c[i], job);
                Vector size = larger(larger(g.w, g.b), larger(g.v, g.c));
                Mask trains = (size > job.tolerance) & (g.loss <= 1e30);
                Vector now = trains ? rate[i] : Vector{};
                w[i] -= now * g.w;
                b[i] -= now * g.b;
                v[i] -= now * g.v;
                c[i] -= now * g.c;
                train |= trains;
            }
            long any = 0;
            for (int k = 0; k < WIDTH; k++)
                any |= train[k];
            if (!any)
                break;
        }
        for (int j = 0; j < LANES; j++) {
            int i = j / WIDTH, k = j % WIDTH;
            double *q = p + first + j;
            q[0] = w[i][k], q[n] = b[i][k], q[2 * n] = v[i][k], q[3 * n] = c[i][k];
        }
    }
}
