// What training needs on the CPU: depthwise convolution, batch norm with activation, and the ends of
// squeeze-and-excitation, forward and backward, in fp32 with channels innermost.
//
// Built on the machine it runs on (native/build.py), for its vector units; called through a C interface with plain
// pointers. Tensors are (B, T, H, W, C) without gaps, kernels (time, height, width, C). Work is split over threads into
// fixed ranges, so that results depend on the number of threads alone.

#include <vector>

#include "depthwise.h"

using namespace movinas;

namespace {

// Calls body(frame of all clips, rows of it) for the rows from..to of all frames, a few at a time.
template <class Body>
void for_rows(const Shape& s, int64_t from, int64_t to, const Body& body) {
    while (from < to) {
        const int64_t frame = from / s.out_height, first = from % s.out_height;
        int64_t last = first + TOGETHER < s.out_height ? first + TOGETHER : s.out_height;
        if (last - first > to - from) last = first + to - from;
        body(frame, Range{first, last});
        from += last - first;
    }
}

void forward(const Shape& s, const float* x, const float* w, float* y, int threads) {
    const int64_t in_size = s.height * s.width * s.channels, out_size = s.out_height * s.out_width * s.channels;
    in_threads(s.clips * s.out_frames * s.out_height, threads, [&](int, int64_t from, int64_t to) {
        for_rows(s, from, to, [&](int64_t number, Range rows) {
            const int64_t clip = number / s.out_frames, t = number % s.out_frames;
            const float* frames[MAX_TAPS];
            for (int64_t dt = 0; dt < s.taps_t; dt++) {
                const int64_t frame = t + dt - s.pad_t;
                frames[dt] = frame >= 0 && frame < s.frames ? x + (clip * s.frames + frame) * in_size : nullptr;
            }
            Rows{s, frames, w, y + number * out_size}(rows);
        });
    });
}

// Gradient by the input: a convolution of the gradients by the output with the kernel turned around.
void input_gradient_at_stride_1(const Shape& s, const float* g, const float* w, float* gx, int threads) {
    Shape turned = s;
    turned.frames = s.out_frames, turned.height = s.out_height, turned.width = s.out_width;
    turned.out_frames = s.frames, turned.out_height = s.height, turned.out_width = s.width;
    turned.pad_t = s.taps_t - 1 - s.pad_t, turned.pad_h = s.taps_h - 1 - s.pad_h, turned.pad_w = s.taps_w - 1 - s.pad_w;
    const int64_t taps = s.taps_t * s.taps_h * s.taps_w;
    std::vector<float> around(static_cast<size_t>(taps * s.channels));
    for (int64_t tap = 0; tap < taps; tap++)
        std::memcpy(around.data() + tap * s.channels, w + (taps - 1 - tap) * s.channels,
                    sizeof(float) * static_cast<size_t>(s.channels));
    forward(turned, g, around.data(), gx, threads);
}

// The same at any stride: every input gathers from the outputs that read it. Columns of one phase, those that the same
// taps read, are a convolution at stride 1 of their own.
struct InputGradientRow {
    const Shape& s;
    const float *g, *w;
    float* gx;
    int64_t clip, t, h;

    template <int N>
    void operator()(int64_t c) const {
        for (int64_t phase = 0; phase < s.stride; phase++) {
            // column = u * stride + phase - pad, for u from `first` to `last`; tap phase + m * stride reads u - m
            int64_t first = (s.pad_w - phase + s.stride - 1) / s.stride;
            if (s.pad_w < phase) first = 0;
            int64_t last = (s.width + s.pad_w - phase + s.stride - 1) / s.stride;
            for (int64_t u = first; u < last; u += PIXELS) {
                Vec<N> sum[PIXELS] = {};
                for (int64_t dt = 0; dt < s.taps_t; dt++) {
                    int64_t frame = t + s.pad_t - dt;
                    if (frame < 0 || frame >= s.out_frames) continue;
                    for (int64_t dh = (h + s.pad_h) % s.stride; dh < s.taps_h; dh += s.stride) {
                        int64_t row = (h + s.pad_h - dh) / s.stride;
                        if (h + s.pad_h < dh || row >= s.out_height) continue;
                        const float* source =
                            g + ((clip * s.out_frames + frame) * s.out_height + row) * s.out_width * s.channels + c;
                        const float* tap = w + (dt * s.taps_h + dh) * s.taps_w * s.channels + c;
                        for (int64_t dw = phase, m = 0; dw < s.taps_w; dw += s.stride, m++)
                            add_products<N>(sum, source + (u - m) * s.channels, s.channels,
                                            load<N>(tap + dw * s.channels), {0, s.out_width}, u - m);
                    }
                }
                float* target = gx + ((clip * s.frames + t) * s.height + h) * s.width * s.channels + c;
                for (int64_t j = 0; j < PIXELS; j++) {
                    if (u + j >= last) break;
                    store<N>(target + ((u + j) * s.stride + phase - s.pad_w) * s.channels, sum[j]);
                }
            }
        }
    }
};

// Gradient by the weight from some rows of one frame of outputs, added to `gw`.
template <int TAPS>
struct WeightGradientRows {
    // Columns that are summed apart from each other, so that a product need not wait for the one before.
    static constexpr int APART = TAPS == 1 ? 8 : TAPS == 3 ? 4 : TAPS == 5 ? 2 : 1;

    const Shape& s;
    const float *x, *g;  // of the clip
    float* gw;
    int64_t t;
    Range rows;

    template <int N>
    void operator()(int64_t c) const {
        for (int64_t dt = 0; dt < s.taps_t; dt++) {
            const int64_t frame = t + dt - s.pad_t;
            if (frame < 0 || frame >= s.frames) continue;
            for (int64_t dh = 0; dh < s.taps_h; dh++) tap_row<N>(frame, dt, dh, c);
        }
    }

    template <int N>
    void tap_row(int64_t frame, int64_t dt, int64_t dh, int64_t c) const {
        Range inside = {columns_of_tap(s, 0).from, columns_of_tap(s, TAPS - 1).to};
        if (inside.from > s.out_width) inside.from = s.out_width;
        if (inside.to < inside.from) inside.to = inside.from;
        Vec<N> sum[APART][TAPS] = {};
        for (int64_t h = rows.from; h < rows.to; h++) {
            const int64_t row = h * s.stride + dh - s.pad_h;
            if (row < 0 || row >= s.height) continue;
            const float* out = g + (t * s.out_height + h) * s.out_width * s.channels + c;
            const float* source = x + ((frame * s.height + row) * s.width - s.pad_w) * s.channels + c;
            auto edge = [&](int64_t from, int64_t to) {
                for (int64_t column = from; column < to; column++) {
                    const Vec<N> grad = load<N>(out + column * s.channels);
                    UNROLLED for (int dw = 0; dw < TAPS; dw++) {
                        const int64_t read = column * s.stride + dw - s.pad_w;
                        if (read >= 0 && read < s.width)
                            sum[0][dw] += grad * load<N>(source + (column * s.stride + dw) * s.channels);
                    }
                }
            };
            edge(0, inside.from);
            int64_t column = inside.from;
            for (; column + APART <= inside.to; column += APART)
                UNROLLED for (int j = 0; j < APART; j++) {
                    const Vec<N> grad = load<N>(out + (column + j) * s.channels);
                    const float* at = source + (column + j) * s.stride * s.channels;
                    UNROLLED for (int dw = 0; dw < TAPS; dw++) sum[j][dw] += grad * load<N>(at + dw * s.channels);
                }
            edge(column, s.out_width);
        }
        float* tap = gw + (dt * s.taps_h + dh) * TAPS * s.channels + c;
        UNROLLED for (int dw = 0; dw < TAPS; dw++) {
            Vec<N> total = load<N>(tap + dw * s.channels);
            UNROLLED for (int j = 0; j < APART; j++) total += sum[j][dw];
            store<N>(tap + dw * s.channels, total);
        }
    }
};

template <int TAPS>
void weight_gradient(const Shape& s, const float* x, const float* g, float* gw, int threads) {
    const int64_t size = s.taps_t * s.taps_h * s.taps_w * s.channels;
    const int64_t in_size = s.frames * s.height * s.width * s.channels;
    const int64_t out_size = s.out_frames * s.out_height * s.out_width * s.channels;
    std::vector<float> parts(static_cast<size_t>(size * threads), 0.0f);
    in_threads(s.clips * s.out_frames * s.out_height, threads, [&](int thread, int64_t from, int64_t to) {
        for_rows(s, from, to, [&](int64_t frame, Range rows) {
            const int64_t clip = frame / s.out_frames;
            for_channels(s.channels, WeightGradientRows<TAPS>{s, x + clip * in_size, g + clip * out_size,
                                                              parts.data() + thread * size, frame % s.out_frames, rows});
        });
    });
    for (int64_t i = 0; i < size; i++) {
        float sum = 0.0f;
        for (int thread = 0; thread < threads; thread++) sum += parts[static_cast<size_t>(thread * size + i)];
        gw[i] = sum;
    }
}

// ---- batch norm and activation ---------------------------------------------------------------------------------------

constexpr int64_t BLOCK = 64;  // rows summed in fp32 before the sum goes on in fp64

// Adds up `terms` numbers per row and channel over all rows; sums is (terms, channels).
template <int TERMS, class Terms>
void sum_rows(int64_t rows, int64_t channels, int threads, double* sums, const Terms& terms) {
    std::vector<double> parts(static_cast<size_t>(TERMS * channels * threads), 0.0);
    in_threads((rows + BLOCK - 1) / BLOCK, threads, [&](int thread, int64_t from, int64_t to) {
        double* part = parts.data() + thread * TERMS * channels;
        for (int64_t block = from; block < to; block++) {
            int64_t first = block * BLOCK, last = first + BLOCK < rows ? first + BLOCK : rows;
            for_channels(channels, [&]<int N>(int64_t c) {
                Vec<N> sum[TERMS] = {};
                for (int64_t row = first; row < last; row++) terms.template operator()<N>(row, c, sum);
                for (int term = 0; term < TERMS; term++)
                    for (int lane = 0; lane < N; lane++) part[term * channels + c + lane] += sum[term][lane];
            });
        }
    });
    for (int64_t i = 0; i < TERMS * channels; i++) {
        sums[i] = 0.0;
        for (int thread = 0; thread < threads; thread++) sums[i] += parts[static_cast<size_t>(thread * TERMS * channels + i)];
    }
}

template <int A>
void scaled(int64_t rows, int64_t channels, const float* x, const float* scale, const float* shift, float* y,
            int threads) {
    in_threads(rows, threads, [&](int, int64_t from, int64_t to) {
        for (int64_t row = from; row < to; row++)
            for_channels(channels, [&]<int N>(int64_t c) {
                int64_t at = row * channels + c;
                store<N>(y + at, activated<A, N>(load<N>(x + at) * load<N>(scale + c) + load<N>(shift + c)));
            });
    });
}

template <int A>
void norm_backward(int64_t rows, int64_t channels, const float* g, const float* x, const float* mean,
                   const float* inverse, const float* weight, const float* bias, float* gx, float* gweight,
                   float* gbias, int threads) {
    std::vector<double> sums(static_cast<size_t>(2 * channels));
    sum_rows<2>(rows, channels, threads, sums.data(), [&]<int N>(int64_t row, int64_t c, Vec<N>* sum) {
        int64_t at = row * channels + c;
        Vec<N> normed = (load<N>(x + at) - load<N>(mean + c)) * load<N>(inverse + c);
        Vec<N> grad = load<N>(g + at) * slope<A, N>(normed * load<N>(weight + c) + load<N>(bias + c));
        store<N>(gx + at, grad);
        sum[0] += grad;
        sum[1] += grad * normed;
    });
    std::vector<float> average(static_cast<size_t>(2 * channels));
    for (int64_t c = 0; c < channels; c++) {
        gbias[c] = static_cast<float>(sums[c]);
        gweight[c] = static_cast<float>(sums[channels + c]);
        average[c] = static_cast<float>(sums[c] / rows);
        average[channels + c] = static_cast<float>(sums[channels + c] / rows);
    }
    in_threads(rows, threads, [&](int, int64_t from, int64_t to) {
        for (int64_t row = from; row < to; row++)
            for_channels(channels, [&]<int N>(int64_t c) {
                int64_t at = row * channels + c;
                Vec<N> normed = (load<N>(x + at) - load<N>(mean + c)) * load<N>(inverse + c);
                Vec<N> centred = load<N>(gx + at) - load<N>(average.data() + c) -
                                 normed * load<N>(average.data() + channels + c);
                store<N>(gx + at, centred * (load<N>(inverse + c) * load<N>(weight + c)));
            });
    });
}

// ---- squeeze-and-excitation ------------------------------------------------------------------------------------------

// Adds up one number per pixel and channel over the pixels of each frame; sums is (frames, channels).
template <class Term>
void sum_pixels(int64_t frames, int64_t pixels, int64_t channels, int threads, float* sums, const Term& term) {
    in_threads(frames, threads, [&](int, int64_t from, int64_t to) {
        for (int64_t frame = from; frame < to; frame++) {
            float* sum = sums + frame * channels;
            std::memset(sum, 0, sizeof(float) * static_cast<size_t>(channels));
            for (int64_t first = 0; first < pixels; first += BLOCK) {
                int64_t last = first + BLOCK < pixels ? first + BLOCK : pixels;
                for_channels(channels, [&]<int N>(int64_t c) {
                    Vec<N> part = {};
                    for (int64_t pixel = first; pixel < last; pixel++)
                        part += term.template operator()<N>(frame, (frame * pixels + pixel) * channels + c, c);
                    store<N>(sum + c, load<N>(sum + c) + part);
                });
            }
        }
    });
}

}  // namespace

extern "C" {

// Mean over the pixels of each frame, (frames, channels).
void movinas_frame_means(int64_t frames, int64_t pixels, int64_t channels, const float* x, float* means, int threads) {
    sum_pixels(frames, pixels, channels, threads, means,
               [&]<int N>(int64_t, int64_t at, int64_t) { return load<N>(x + at); });
    for (int64_t i = 0; i < frames * channels; i++) means[i] /= static_cast<float>(pixels);
}

// y = x gate, with one gate per frame and channel.
void movinas_scale_frames(int64_t frames, int64_t pixels, int64_t channels, const float* x, const float* gate,
                          float* y, int threads) {
    in_threads(frames * pixels, threads, [&](int, int64_t from, int64_t to) {
        for (int64_t row = from; row < to; row++)
            for_channels(channels, [&]<int N>(int64_t c) {
                store<N>(y + row * channels + c,
                         load<N>(x + row * channels + c) * load<N>(gate + row / pixels * channels + c));
            });
    });
}

// gx = g gate, and ggate = sum of g x over the pixels of a frame.
void movinas_scale_frames_backward(int64_t frames, int64_t pixels, int64_t channels, const float* g, const float* x,
                                   const float* gate, float* gx, float* ggate, int threads) {
    sum_pixels(frames, pixels, channels, threads, ggate, [&]<int N>(int64_t frame, int64_t at, int64_t c) {
        Vec<N> grad = load<N>(g + at);
        store<N>(gx + at, grad * load<N>(gate + frame * channels + c));
        return grad * load<N>(x + at);
    });
}

// gx = g + gmeans / pixels: the gradient of `movinas_frame_means` beside another one.
void movinas_add_frame_means_gradient(int64_t frames, int64_t pixels, int64_t channels, const float* gmeans,
                                      const float* g, float* gx, int threads) {
    const float share = 1.0f / static_cast<float>(pixels);
    in_threads(frames * pixels, threads, [&](int, int64_t from, int64_t to) {
        for (int64_t row = from; row < to; row++)
            for_channels(channels, [&]<int N>(int64_t c) {
                int64_t at = row * channels + c;
                store<N>(gx + at, load<N>(g + at) + load<N>(gmeans + row / pixels * channels + c) * share);
            });
    });
}

void movinas_depthwise_forward(const int64_t* shape, const float* x, const float* w, float* y, int threads) {
    Shape s;
    std::memcpy(&s, shape, sizeof(s));
    forward(s, x, w, y, threads);
}

void movinas_depthwise_input_gradient(const int64_t* shape, const float* g, const float* w, float* gx, int threads) {
    Shape s;
    std::memcpy(&s, shape, sizeof(s));
    if (s.stride == 1) input_gradient_at_stride_1(s, g, w, gx, threads);
    else in_threads(s.clips * s.frames * s.height, threads, [&](int, int64_t from, int64_t to) {
        for (int64_t number = from; number < to; number++)
            for_channels(s.channels, InputGradientRow{s, g, w, gx, number / s.height / s.frames,
                                                      number / s.height % s.frames, number % s.height});
    });
}

// Returns 0 where there is no such kernel: a width of taps that is not odd and at most 15.
int movinas_depthwise_weight_gradient(const int64_t* shape, const float* x, const float* g, float* gw, int threads) {
    Shape s;
    std::memcpy(&s, shape, sizeof(s));
    switch (s.taps_w) {
        case 1: weight_gradient<1>(s, x, g, gw, threads); return 1;
        case 3: weight_gradient<3>(s, x, g, gw, threads); return 1;
        case 5: weight_gradient<5>(s, x, g, gw, threads); return 1;
        case 7: weight_gradient<7>(s, x, g, gw, threads); return 1;
        case 9: weight_gradient<9>(s, x, g, gw, threads); return 1;
        case 11: weight_gradient<11>(s, x, g, gw, threads); return 1;
        case 13: weight_gradient<13>(s, x, g, gw, threads); return 1;
        case 15: weight_gradient<15>(s, x, g, gw, threads); return 1;
        default: return 0;
    }
}

// Mean and biased variance of every channel, (channels,) each, from deviations from the first row.
void movinas_channel_statistics(int64_t rows, int64_t channels, const float* x, float* mean, float* variance,
                                int threads) {
    std::vector<double> sums(static_cast<size_t>(2 * channels));
    sum_rows<2>(rows, channels, threads, sums.data(), [&]<int N>(int64_t row, int64_t c, Vec<N>* sum) {
        Vec<N> deviation = load<N>(x + row * channels + c) - load<N>(x + c);
        sum[0] += deviation;
        sum[1] += deviation * deviation;
    });
    for (int64_t c = 0; c < channels; c++) {
        double shift = sums[c] / rows, square = sums[channels + c] / rows - shift * shift;
        mean[c] = static_cast<float>(x[c] + shift);
        variance[c] = static_cast<float>(square > 0.0 ? square : 0.0);
    }
}

void movinas_scale_activate(int64_t rows, int64_t channels, const float* x, const float* scale, const float* shift,
                            int activation, float* y, int threads) {
    with_activation(activation, [&]<int A>() { scaled<A>(rows, channels, x, scale, shift, y, threads); });
}

void movinas_norm_backward(int64_t rows, int64_t channels, const float* g, const float* x, const float* mean,
                           const float* inverse, const float* weight, const float* bias, int activation, float* gx,
                           float* gweight, float* gbias, int threads) {
    with_activation(activation, [&]<int A>() {
        norm_backward<A>(rows, channels, g, x, mean, inverse, weight, bias, gx, gweight, gbias, threads);
    });
}

}  // extern "C"
