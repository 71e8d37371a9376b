// The label of a picture by an OpenVINO export of dashseg, in C++: OpenVINO alone.
//
//   OV=$(python -c "import openvino; print(openvino.__path__[0])")    # the wheel has the headers
//   g++ -std=c++17 -O2 -o segment segment.cpp -I"$OV/include" "$OV"/libs/libopenvino.so.* "-Wl,-rpath,$OV/libs"
//   ./segment EXPORT/model.xml frame.ppm label.pgm
//
// The export has a fixed size (dashseg export --size HxW). The frame is a binary PPM (P6); the
// label a binary PGM (P5) of class ids, of the frame's size. The export's README.md lists the
// classes and their colours.

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iostream>
#include <openvino/openvino.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

struct Picture {  // values row by row, channels last
    size_t height, width, channels;
    std::vector<float> values;
};

using Weights = std::vector<std::vector<std::pair<size_t, float>>>;

// For each of `to` positions, the old positions that it is made of: by area, or bilinearly with
// pixel centres aligned.
Weights weights(size_t from, size_t to, bool by_area) {
    const double scale = double(from) / double(to);
    Weights result(to);
    for (size_t i = 0; i < to; i++) {
        if (by_area) {
            const double start = double(i) * scale, end = start + scale;
            for (size_t k = size_t(start); k < from && double(k) < end - 1e-9; k++) {
                const double covered = std::min(double(k) + 1, end) - std::max(double(k), start);
                result[i].push_back({k, float(covered / scale)});
            }
        } else {
            const double last = double(from) - 1;
            const double centre = std::clamp((double(i) + 0.5) * scale - 0.5, 0.0, last);
            const size_t k = size_t(centre);
            const float part = float(centre - double(k));
            result[i] = {{k, 1 - part}, {std::min(k + 1, from - 1), part}};
        }
    }
    return result;
}

Picture resize(const Picture& old, size_t height, size_t width, bool by_area) {
    const Weights rows = weights(old.height, height, by_area);
    const Weights columns = weights(old.width, width, by_area);
    const size_t line = old.width * old.channels;
    Picture made{height, width, old.channels,
                 std::vector<float>(height * width * old.channels, 0.0f)};
    std::vector<float> mixed(line);  // one new row, still as wide as before
    for (size_t y = 0; y < height; y++) {
        std::fill(mixed.begin(), mixed.end(), 0.0f);
        for (auto [row, share] : rows[y])
            for (size_t i = 0; i < line; i++) mixed[i] += share * old.values[row * line + i];
        for (size_t x = 0; x < width; x++)
            for (auto [column, share] : columns[x])
                for (size_t c = 0; c < old.channels; c++)
                    made.values[(y * width + x) * old.channels + c] +=
                        share * mixed[column * old.channels + c];
    }
    return made;
}

Picture read_ppm(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string kind;
    size_t width = 0, height = 0, most = 0;
    file >> kind >> width >> height >> most;
    file.get();
    if (!file || kind != "P6" || most != 255 || !width || !height || width * height > (1u << 27))
        throw std::runtime_error(path + ": not a binary PPM (P6) of 8 bits");
    std::vector<char> bytes(3 * width * height);
    if (!file.read(bytes.data(), std::streamsize(bytes.size())))
        throw std::runtime_error(path + ": ends too early");
    Picture frame{height, width, 3, {}};
    for (char byte : bytes) frame.values.push_back(float(static_cast<unsigned char>(byte)));
    return frame;
}

int main(int count, char** arguments) try {
    if (count != 4) throw std::runtime_error("usage: segment MODEL.xml FRAME.ppm LABEL.pgm");
    ov::Core core;
    auto model = core.read_model(arguments[1]);
    const auto about = model->get_rt_info<std::string>("dashseg");
    const auto shape = model->input().get_partial_shape();  // (B, h, w, 3)
    if (shape[1].is_dynamic() || shape[2].is_dynamic())
        throw std::runtime_error("the model takes any size: export it with --size HxW");
    const size_t height = size_t(shape[1].get_length()), width = size_t(shape[2].get_length());
    model->reshape({1, int64_t(height), int64_t(width), 3});  // one frame at a time is faster
    ov::AnyMap settings{ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY)};
    if (about.find("\"precision\": \"fp32\"") != std::string::npos)  // else it may take bfloat16
        settings.insert(ov::hint::inference_precision(ov::element::f32));
    auto request = core.compile_model(model, "CPU", settings).create_infer_request();

    const Picture frame = read_ppm(arguments[2]);
    const bool shrinks = height * width < frame.height * frame.width;
    const Picture small = resize(frame, height, width, shrinks);
    auto* image = request.get_input_tensor().data<uint8_t>();
    for (size_t i = 0; i < small.values.size(); i++)
        image[i] = uint8_t(std::lround(small.values[i]));
    request.infer();

    const auto logits = request.get_output_tensor();  // (1, C, h', w')
    const auto* values = logits.data<float>();
    const size_t classes = logits.get_shape()[1], rows = logits.get_shape()[2];
    const size_t columns = logits.get_shape()[3], plane = rows * columns;
    std::vector<uint8_t> label(frame.height * frame.width, 0);
    std::vector<float> best;
    for (size_t c = 0; c < classes; c++) {
        const std::vector<float> own(values + c * plane, values + (c + 1) * plane);
        const Picture logit{rows, columns, 1, own};
        const auto large = resize(logit, frame.height, frame.width, false).values;
        if (c == 0) best = large;
        for (size_t i = 0; i < large.size(); i++)
            if (large[i] > best[i]) best[i] = large[i], label[i] = uint8_t(c);
    }
    std::ofstream file(arguments[3], std::ios::binary);
    file << "P5\n" << frame.width << " " << frame.height << "\n255\n";
    file.write(reinterpret_cast<const char*>(label.data()), std::streamsize(label.size()));
    if (!file.flush()) throw std::runtime_error(std::string(arguments[3]) + ": cannot be written");
} catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 2;
}
