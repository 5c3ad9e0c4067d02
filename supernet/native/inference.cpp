// A whole network in evaluation, in one call: clips, or the next frames of streams, to logits.
//
// fp32, channels innermost. Norms are folded into the convolutions before them, activations, residuals and the gates of
// squeeze-and-excitation into the products beside them. Where a clip has frames enough, each thread takes whole frames,
// so that what lies between two products of a layer stays in its cache; else the rows of a frame are shared out.

#include <sys/mman.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "depthwise.h"
#include "matrix.h"

using namespace movinas;

extern "C" {

struct MovinasDepthwise {  // over space, time, or both; `taps_t` is 0 where there is none
    int64_t taps_t, taps_h, taps_w, stride;
    const float *weight, *bias;  // (time, height, width, channels)
};

struct MovinasLayer {
    Matrix expand;
    MovinasDepthwise first, second;
    Matrix reduce, gates;    // of squeeze-and-excitation; `outputs` is 0 where there is none
    const float* encoding;   // of positions: weight, then the rates of the sines
    Matrix project, skip;    // `skip.outputs` is 0 where the input itself is added
};

struct MovinasNet {
    int64_t causal, activation, head_activation, gate;
    int64_t pool_time, pool_frames, cumulative, window;  // of squeeze-and-excitation; `window` is 0 for all frames
    double decay;                                        // 1 for none
    Matrix stem, head, dense, classifier;
    int64_t num_layers;
    const MovinasLayer* layers;
};

struct MovinasCall {
    int64_t clips, frames, height, width, streams, per_frame;
    int64_t in_place;            // the state after is written over that before; frame n of a buffer lies at n mod length
    const float* x;
    int64_t clip_stride, frame_stride, channel_stride, row_stride, column_stride;
    const int32_t* count;        // frames seen before, per stream; null for clips
    const float* const* past;    // stream buffer and pool of each layer, then pool of the head; null where there is none
    float* const* future;
    float* logits;
    double* seconds;             // what each phase took is added, if somebody asks
    double* part_seconds;        // what the stem, each layer and the head took, likewise
};

}  // extern "C"

namespace {

// Memory of one call. What is given back is handed out again, so that each page is new to the process once per call.
class Memory {
    struct Block {
        int64_t size;
        std::unique_ptr<float, decltype(&std::free)> at;
    };
    std::vector<Block> unused;

   public:
    class Floats {
        Memory* memory = nullptr;
        Block block = {0, {nullptr, &std::free}};

       public:
        Floats() = default;
        Floats(Memory* memory, Block block) : memory(memory), block(std::move(block)) {}
        Floats(Floats&& other) = default;
        Floats& operator=(Floats&& other) {
            std::swap(memory, other.memory);
            std::swap(block, other.block);
            return *this;
        }
        ~Floats() {
            if (block.at) memory->unused.push_back(std::move(block));
        }
        float* get() const { return block.at.get(); }
        float& operator[](int64_t i) const { return block.at.get()[i]; }
    };

    // The smallest block that is left and large enough, or a new one.
    Floats take(int64_t number) {
        auto best = unused.end();
        for (auto block = unused.begin(); block != unused.end(); block++)
            if (block->size >= number && (best == unused.end() || block->size < best->size)) best = block;
        if (best != unused.end()) {
            Block block = std::move(*best);
            unused.erase(best);
            return Floats(this, std::move(block));
        }
        const size_t bytes = (static_cast<size_t>(number) * sizeof(float) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
        void* at = bytes >= 2 * HUGE_PAGE ? std::aligned_alloc(HUGE_PAGE, bytes)
                                          : std::malloc(static_cast<size_t>(number) * sizeof(float) + 1);
        if (!at) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
        if (bytes >= 2 * HUGE_PAGE) madvise(at, bytes, MADV_HUGEPAGE);
#endif
        return Floats(this, Block{number, {static_cast<float*>(at), &std::free}});
    }

   private:
    static constexpr size_t HUGE_PAGE = size_t{1} << 21;
};
typedef Memory::Floats Floats;

constexpr int64_t STEM_TAPS = 3, STEM_STRIDE = 2, INPUT_CHANNELS = 3;

inline int64_t same_size(int64_t size, int64_t stride) { return (size + stride - 1) / stride; }

inline int64_t padding_before(int64_t size, int64_t taps, int64_t stride) {
    int64_t total = (same_size(size, stride) - 1) * stride + taps - size;
    return total > 0 ? total / 2 : 0;
}

// How the frames of a call are shared out: whole, or each in as many parts as there are threads.
struct Work {
    int64_t frames, parts;
    int threads;

    Work(int64_t frames, int threads)
        : frames(frames), parts(frames % threads == 0 || frames >= 8 * threads ? 1 : threads), threads(threads) {}

    template <class Body>
    void each(const Body& body) const {  // body(thread, frame, part)
        in_threads(frames * parts, threads, [&](int thread, int64_t from, int64_t to) {
            for (int64_t unit = from; unit < to; unit++) body(thread, unit / parts, unit % parts);
        });
    }
};

// Frames (clips, frames, size) and those before them, (clips, length, size): the oldest first, or, where `count` tells how
// many there were before, frame number n at n mod length.
struct History {
    int64_t clips, frames, size, length;
    const float *now, *past;
    const int32_t* count;

    int64_t place(int64_t clip, int64_t number) const {
        return clip * length + (count ? (count[clip] + number + length) % length : length + number);
    }
    const float* frame(int64_t clip, int64_t number) const {
        if (number >= 0) return number < frames ? now + (clip * frames + number) * size : nullptr;
        return past && number >= -length ? past + place(clip, number) * size : nullptr;
    }
    // Writes the last frames to what will be the past; in a ring, over the oldest ones.
    void keep(float* future) const {
        if (!future) return;
        for (int64_t clip = 0; clip < clips; clip++)
            for (int64_t number = count && frames < length ? 0 : frames - length; number < frames; number++)
                std::memcpy(future + (count ? place(clip, number) : place(clip, number - frames)) * size,
                            frame(clip, number), sizeof(float) * static_cast<size_t>(size));
    }
};

// Adds the pixels of a row to the sum of each channel.
void add_pixels(int64_t pixels, int64_t channels, const float* x, float* sums) {
    for_channels(channels, [&]<int N>(int64_t c) {
        Vec<N> sum = {};
        for (int64_t pixel = 0; pixel < pixels; pixel++) sum += load<N>(x + pixel * channels + c);
        store<N>(sums + c, load<N>(sums + c) + sum);
    });
}

struct Sums {  // of the pixels of every part of every frame
    int64_t channels;
    Floats values;

    Sums(Memory& memory, const Work& work, int64_t channels)
        : channels(channels), values(memory.take(work.frames * work.parts * channels)) {
        std::memset(values.get(), 0, sizeof(float) * static_cast<size_t>(work.frames * work.parts * channels));
    }
    float* of(const Work& work, int64_t frame, int64_t part) { return values.get() + (frame * work.parts + part) * channels; }
    // Means over the pixels of each frame, (frames, channels).
    Floats means(Memory& memory, const Work& work, int64_t pixels) {
        Floats means = memory.take(work.frames * channels);
        for (int64_t frame = 0; frame < work.frames; frame++)
            for (int64_t c = 0; c < channels; c++) {
                float sum = 0.0f;
                for (int64_t part = 0; part < work.parts; part++) sum += of(work, frame, part)[c];
                means[frame * channels + c] = sum / static_cast<float>(pixels);
            }
        return means;
    }
};

// `source(thread, frame, taps)` points to the frames that are read. Each frame's sums go into `sums` if asked for.
template <class Source>
void convolve(const MovinasDepthwise& d, const Work& work, int64_t height, int64_t width, int64_t channels,
              int64_t activation, const Source& source, float* y, Sums* sums) {
    Shape s = {};
    s.height = height, s.width = width, s.channels = channels;
    s.out_height = same_size(height, d.stride), s.out_width = same_size(width, d.stride);
    s.taps_t = d.taps_t, s.taps_h = d.taps_h, s.taps_w = d.taps_w, s.stride = d.stride;
    s.pad_h = padding_before(height, d.taps_h, d.stride), s.pad_w = padding_before(width, d.taps_w, d.stride);
    work.each([&](int thread, int64_t frame, int64_t part) {
        const float* taps[MAX_TAPS];
        source(thread, frame, taps);
        const Range rows = share(s.out_height, part, work.parts);
        float* out = y + frame * s.out_height * s.out_width * channels;
        for (Range some = rows; some.from < rows.to; some.from = some.to) {
            some.to = some.from + TOGETHER < rows.to ? some.from + TOGETHER : rows.to;
            Rows{s, taps, d.weight, out, d.bias, activation}(some);
            if (sums)
                for (int64_t h = some.from; h < some.to; h++)
                    add_pixels(s.out_width, channels, out + h * s.out_width * channels, sums->of(work, frame, part));
        }
    });
}

// Mean over 3x3 windows at stride 2 of some rows of outputs; cells outside do not count.
void average_pool(int64_t height, int64_t width, int64_t channels, const float* x, Range rows, float* y) {
    int64_t out_width = same_size(width, 2);
    for (int64_t h = rows.from; h < rows.to; h++)
        for (int64_t w = 0; w < out_width; w++) {
            int64_t top = 2 * h - height % 2, left = 2 * w - width % 2;
            Range down = {top > 0 ? top : 0, top + 3 < height ? top + 3 : height};
            Range along = {left > 0 ? left : 0, left + 3 < width ? left + 3 : width};
            float cells = static_cast<float>((down.to - down.from) * (along.to - along.from));
            float* target = y + ((h - rows.from) * out_width + w) * channels;
            for_channels(channels, [&]<int N>(int64_t c) {
                Vec<N> sum = {};
                for (int64_t row = down.from; row < down.to; row++)
                    for (int64_t column = along.from; column < along.to; column++)
                        sum += load<N>(x + (row * width + column) * channels + c);
                store<N>(target + c, sum / cells);
            });
        }
}

enum Phase { STEM, EXPAND, DEPTHWISE, GATES, PROJECT, HEAD };

// Adds the time of its life to a phase, or to a part of the network.
class Timed {
    double* seconds;
    std::chrono::steady_clock::time_point start;

   public:
    Timed(const MovinasCall& call, Phase phase) : Timed(call.seconds, phase) {}
    Timed(double* all, int64_t number) : seconds(all ? all + number : nullptr) {
        if (seconds) start = std::chrono::steady_clock::now();
    }
    ~Timed() {
        if (seconds) *seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
};

float gated(int64_t gate, float x) {
    if (gate == 0) return sigmoid<1>(Vec<1>{x})[0];
    float linear = gate == 1 ? (x + 3.0f) / 6.0f : 0.2f * x + 0.5f;
    return linear < 0.0f ? 0.0f : linear > 1.0f ? 1.0f : linear;
}

struct Network {
    const MovinasNet& net;
    const MovinasCall& call;
    int threads;
    Work work;
    mutable Memory memory = {};

    Network(const MovinasNet& net, const MovinasCall& call, int threads)
        : net(net), call(call), threads(threads), work(call.clips * call.frames, threads) {}

    const int32_t* ring() const { return call.in_place ? call.count : nullptr; }
    int64_t seen(int64_t clip) const { return call.count ? call.count[clip] : 0; }

    // For each frame the mean of those until then, (clips, frames, channels) into rows of `stride` floats.
    void running_mean(int64_t channels, const float* means, const float* past, float* future, float* out,
                      int64_t stride) const {
        const double step = net.decay < 1.0 ? std::log(net.decay) : 0.0;
        History history = {call.clips, call.frames, channels, net.window - 1, means, past, ring()};
        for (int64_t clip = 0; clip < call.clips; clip++) {
            Floats sums = memory.take(channels);
            for (int64_t c = 0; c < channels; c++) sums[c] = !net.window && past ? past[clip * channels + c] : 0.0f;
            for (int64_t t = 0; t < call.frames; t++) {
                const double number = static_cast<double>(seen(clip) + t + 1);
                double weight = net.decay < 1.0 ? std::expm1(number * step) / (net.decay - 1.0) : number;
                if (net.window && net.window < number) weight = static_cast<double>(net.window);
                const float decay = net.window ? 0.0f : static_cast<float>(net.decay);
                for (int64_t c = 0; c < channels; c++)
                    sums[c] = sums[c] * decay + means[(clip * call.frames + t) * channels + c];
                for (int64_t back = 1; back < net.window; back++)
                    if (const float* frame = history.frame(clip, t - back))
                        for (int64_t c = 0; c < channels; c++) sums[c] += frame[c];
                float* row = out + (clip * call.frames + t) * stride;
                for (int64_t c = 0; c < channels; c++) row[c] = sums[c] / static_cast<float>(weight);
            }
            if (!net.window && future)
                std::memcpy(future + clip * channels, sums.get(), sizeof(float) * static_cast<size_t>(channels));
        }
        if (net.window > 1) history.keep(future);
    }

    // Mean over the frames of each clip, into rows of `stride` floats.
    void clip_mean(int64_t channels, const float* means, float* out, int64_t stride) const {
        for (int64_t clip = 0; clip < call.clips; clip++)
            for (int64_t c = 0; c < channels; c++) {
                float sum = 0.0f;
                for (int64_t t = 0; t < call.frames; t++) sum += means[(clip * call.frames + t) * channels + c];
                out[clip * stride + c] = sum / static_cast<float>(call.frames);
            }
    }

    // Gates (frames of all clips, or clips where they have one for all their frames; channels).
    Floats gates(const MovinasLayer& layer, const float* means, const float* past, float* future) const {
        Timed timed(call, GATES);
        const int64_t channels = layer.expand.outputs, pooled_channels = layer.reduce.inputs;
        const bool per_frame = gate_per_frame();
        const int64_t rows = per_frame ? work.frames : call.clips;
        Floats pooled = memory.take(rows * pooled_channels), reduced = memory.take(rows * layer.reduce.outputs);
        if (net.pool_time && net.cumulative) running_mean(channels, means, past, future, pooled.get(), pooled_channels);
        else if (net.pool_time && !per_frame) clip_mean(channels, means, pooled.get(), pooled_channels);
        else if (net.pool_time) {  // one mean of the clip beside each frame's own
            Floats clips = memory.take(call.clips * channels);
            clip_mean(channels, means, clips.get(), channels);
            for (int64_t row = 0; row < rows; row++)
                std::memcpy(pooled.get() + row * pooled_channels, clips.get() + row / call.frames * channels,
                            sizeof(float) * static_cast<size_t>(channels));
        }
        if (net.pool_frames)
            for (int64_t row = 0; row < rows; row++)
                std::memcpy(pooled.get() + row * pooled_channels + pooled_channels - channels, means + row * channels,
                            sizeof(float) * static_cast<size_t>(channels));
        if (layer.encoding) encode(layer.encoding, pooled_channels, pooled.get());
        with_activation(net.activation, [&]<int A>() {
            multiply_columns<A>(layer.reduce, rows, pooled.get(), reduced.get(), threads);
        });
        Floats gates = memory.take(rows * channels);
        multiply_columns<IDENTITY>(layer.gates, rows, reduced.get(), gates.get(), threads);
        for (int64_t i = 0; i < rows * channels; i++) gates[i] = gated(net.gate, gates[i]);
        return gates;
    }

    bool gate_per_frame() const { return net.pool_frames || net.cumulative; }

    // Sines of the even channels, then cosines of the odd ones, of each frame's number.
    void encode(const float* encoding, int64_t channels, float* pooled) const {
        const int64_t sines = (channels + 1) / 2;
        for (int64_t row = 0; row < work.frames; row++) {
            const float number = static_cast<float>(seen(row / call.frames) + row % call.frames);
            for (int64_t c = 0; c < channels; c++) {
                float angle = number * encoding[1 + (c < sines ? c : c - sines)];
                pooled[row * channels + c] += encoding[0] * (c < sines ? std::sin(angle) : std::cos(angle));
            }
        }
    }

    // y = weight gate, for every input its gate.
    static void scale_inputs(const Matrix& m, const float* gate, float* y) {
        for (int64_t first = 0; first < m.outputs; first += PANEL) {
            const int64_t columns = m.outputs - first > LANES ? PANEL : LANES, start = first * m.inputs;
            for (int64_t k = 0; k < m.inputs; k++)
                for (int64_t v = start + k * columns; v < start + (k + 1) * columns; v += LANES)
                    store<LANES>(y + v, load<LANES>(m.weight + v) * gate[k]);
        }
    }

    // A convolution that may reach back in time, and what it remembers.
    void look_back(const MovinasDepthwise& d, int64_t height, int64_t width, int64_t channels, const float* now,
                   const float* past, float* future, float* y, Sums* sums) const {
        Timed timed(call, DEPTHWISE);
        History history = {call.clips, call.frames, height * width * channels, d.taps_t - 1, now, past, ring()};
        const int64_t before = net.causal ? d.taps_t - 1 : d.taps_t / 2;
        convolve(d, work, height, width, channels, net.activation,
                 [&](int, int64_t frame, const float** taps) {
                     for (int64_t dt = 0; dt < d.taps_t; dt++)
                         taps[dt] = history.frame(frame / call.frames, frame % call.frames + dt - before);
                 },
                 y, sums);
        if (d.taps_t > 1) history.keep(future);
    }

    // Frames (N, H, W, inputs) to (N, H', W', outputs).
    void layer(const MovinasLayer& layer, int64_t height, int64_t width, const float* x, float* y, const float* past,
               float* future, const float* past_pool, float* future_pool) const {
        const int64_t inputs = layer.expand.inputs, inner = layer.expand.outputs, pixels = height * width;
        const int64_t out_height = same_size(height, layer.first.stride), out_width = same_size(width, layer.first.stride);
        const int64_t out_pixels = out_height * out_width;
        const bool expand_first = layer.first.taps_t > 1 || work.parts > 1 || call.seconds;
        Floats expanded = memory.take((expand_first ? work.frames : threads) * pixels * inner);
        auto expand = [&](int64_t frame, Range rows, float* into) {
            with_activation(net.activation, [&]<int A>() {
                multiply<A>(layer.expand, rows.to - rows.from, x + (frame * pixels + rows.from) * inputs, nullptr,
                            into + rows.from * inner);
            });
        };
        if (expand_first) {
            Timed timed(call, EXPAND);
            work.each([&](int, int64_t frame, int64_t part) {
                expand(frame, share(pixels, part, work.parts), expanded.get() + frame * pixels * inner);
            });
        }
        const bool has_se = layer.reduce.outputs > 0;
        Floats convolved = memory.take(work.frames * out_pixels * inner);
        Sums sums(memory, work, inner);
        Sums* first_sums = has_se && !layer.second.taps_t ? &sums : nullptr;
        if (expand_first)
            look_back(layer.first, height, width, inner, expanded.get(), past, future, convolved.get(), first_sums);
        else
            convolve(layer.first, work, height, width, inner, net.activation,
                     [&](int thread, int64_t frame, const float** taps) {
                         float* mine = expanded.get() + thread * pixels * inner;
                         expand(frame, {0, pixels}, mine);
                         taps[0] = mine;
                     },
                     convolved.get(), first_sums);
        if (layer.second.taps_t) {
            Floats now = std::move(convolved);
            convolved = memory.take(work.frames * out_pixels * inner);
            look_back(layer.second, out_height, out_width, inner, now.get(), past, future, convolved.get(),
                      has_se ? &sums : nullptr);
        }
        Floats gate;
        if (has_se) gate = gates(layer, sums.means(memory, work, out_pixels).get(), past_pool, future_pool);
        const Matrix &project = layer.project, &skip = layer.skip;
        const int64_t gated_size = has_se ? inner * filled(project.outputs) : 0;
        const int64_t pooled_size = skip.outputs && layer.first.stride > 1 ? out_pixels * inputs : 0;
        Floats scratch = memory.take(threads * (gated_size + pooled_size));
        Timed timed(call, PROJECT);
        work.each([&](int thread, int64_t frame, int64_t part) {
            float *gated = scratch.get() + thread * (gated_size + pooled_size), *pooled = gated + gated_size;
            Range lines = share(out_height, part, work.parts);
            const int64_t from = lines.from * out_width, rows = (lines.to - lines.from) * out_width;
            float* target = y + (frame * out_pixels + from) * project.outputs;
            const float* source = x + frame * pixels * inputs;
            const float* residual = source + from * inputs;
            if (skip.outputs) {
                if (pooled_size) average_pool(height, width, inputs, source, lines, pooled);
                multiply<IDENTITY>(skip, rows, pooled_size ? pooled : residual, nullptr, target);
                residual = target;
            }
            const float* weight = project.weight;
            if (has_se) {
                scale_inputs(project, gate.get() + (gate_per_frame() ? frame : frame / call.frames) * inner, gated);
                weight = gated;
            }
            multiply<IDENTITY>(project, weight, {0, panels_of(project)}, rows,
                               convolved.get() + (frame * out_pixels + from) * inner, residual, target);
        });
    }

    // Frames (N, H', W', stem) at half the height and width.
    void stem(float* y) const {
        Timed timed(call, STEM);
        const int64_t out_height = same_size(call.height, STEM_STRIDE), out_width = same_size(call.width, STEM_STRIDE);
        const int64_t top = padding_before(call.height, STEM_TAPS, STEM_STRIDE);
        const int64_t left = padding_before(call.width, STEM_TAPS, STEM_STRIDE);
        const int64_t padded_height = (out_height - 1) * STEM_STRIDE + STEM_TAPS;
        const int64_t padded_width = (out_width - 1) * STEM_STRIDE + STEM_TAPS, reach = STEM_TAPS * INPUT_CHANNELS;
        Floats padded = memory.take(padded_height * padded_width * INPUT_CHANNELS * threads);
        Floats patches = memory.take(threads * out_width * net.stem.inputs);
        work.each([&](int thread, int64_t frame, int64_t part) {
            const float* x = call.x + frame / call.frames * call.clip_stride + frame % call.frames * call.frame_stride;
            float* mine = padded.get() + thread * padded_height * padded_width * INPUT_CHANNELS;
            Range lines = share(out_height, part, work.parts);
            for (int64_t h = lines.from * STEM_STRIDE; h < (lines.to - 1) * STEM_STRIDE + STEM_TAPS; h++) {
                float* row = mine + h * padded_width * INPUT_CHANNELS;
                const bool exists = h >= top && h - top < call.height;
                for (int64_t w = 0; w < padded_width; w++)
                    for (int64_t c = 0; c < INPUT_CHANNELS; c++)
                        row[w * INPUT_CHANNELS + c] =
                            exists && w >= left && w - left < call.width
                                ? x[(h - top) * call.row_stride + (w - left) * call.column_stride + c * call.channel_stride]
                                : 0.0f;
            }
            float* patch = patches.get() + thread * out_width * net.stem.inputs;
            for (int64_t h = lines.from; h < lines.to; h++) {
                for (int64_t w = 0; w < out_width; w++)
                    for (int64_t dh = 0; dh < STEM_TAPS; dh++)
                        std::memcpy(patch + w * net.stem.inputs + dh * reach,
                                    mine + ((h * STEM_STRIDE + dh) * padded_width + w * STEM_STRIDE) * INPUT_CHANNELS,
                                    sizeof(float) * static_cast<size_t>(reach));
                with_activation(net.activation, [&]<int A>() {
                    multiply<A>(net.stem, out_width, patch, nullptr,
                                y + (frame * out_height + h) * out_width * net.stem.outputs);
                });
            }
        });
    }

    void head(int64_t pixels, const float* x, const float* past_pool, float* future_pool) const {
        Timed timed(call, HEAD);
        const int64_t channels = net.head.outputs;
        Sums sums(memory, work, channels);
        Floats scratch = memory.take(threads * pixels * channels);
        work.each([&](int thread, int64_t frame, int64_t part) {
            float* y = scratch.get() + thread * pixels * channels;
            Range rows = share(pixels, part, work.parts);
            with_activation(net.activation, [&]<int A>() {
                multiply<A>(net.head, rows.to - rows.from, x + (frame * pixels + rows.from) * net.head.inputs, nullptr, y);
            });
            add_pixels(rows.to - rows.from, channels, y, sums.of(work, frame, part));
        });
        Floats means = sums.means(memory, work, pixels), pooled = memory.take(work.frames * channels);
        if (call.streams) running_mean(channels, means.get(), past_pool, future_pool, pooled.get(), channels);
        else clip_mean(channels, means.get(), pooled.get(), channels);
        if (call.streams && !call.per_frame)  // the last frame's alone
            for (int64_t clip = 0; clip < call.clips; clip++)
                std::memmove(pooled.get() + clip * channels, pooled.get() + ((clip + 1) * call.frames - 1) * channels,
                             sizeof(float) * static_cast<size_t>(channels));
        const int64_t rows = call.per_frame ? work.frames : call.clips;
        Floats dense = memory.take(rows * net.dense.outputs);
        with_activation(net.head_activation, [&]<int A>() {
            multiply_columns<A>(net.dense, rows, pooled.get(), dense.get(), threads);
        });
        multiply_columns<IDENTITY>(net.classifier, rows, dense.get(), call.logits, threads);
    }

    void run() const {
        int64_t height = same_size(call.height, STEM_STRIDE), width = same_size(call.width, STEM_STRIDE);
        Floats x;
        {
            Timed timed(call.part_seconds, 0);
            x = memory.take(work.frames * height * width * net.stem.outputs);
            stem(x.get());
        }
        for (int64_t number = 0; number < net.num_layers; number++) {
            Timed timed(call.part_seconds, 1 + number);
            const MovinasLayer& l = net.layers[number];
            const int64_t out_height = same_size(height, l.first.stride), out_width = same_size(width, l.first.stride);
            Floats y = memory.take(work.frames * out_height * out_width * l.project.outputs);
            layer(l, height, width, x.get(), y.get(), call.past[2 * number], call.future[2 * number],
                  call.past[2 * number + 1], call.future[2 * number + 1]);
            x = std::move(y);
            height = out_height, width = out_width;
        }
        Timed timed(call.part_seconds, 1 + net.num_layers);
        head(height * width, x.get(), call.past[2 * net.num_layers], call.future[2 * net.num_layers]);
    }
};

}  // namespace

// Returns 0 where there is not enough memory.
extern "C" int movinas_run(const MovinasNet* net, const MovinasCall* call, int threads) {
    try {
        Network(*net, *call, threads).run();
        return 1;
    } catch (const std::bad_alloc&) {
        return 0;
    }
}
