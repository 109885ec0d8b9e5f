// Prediction through a chain of layers in one call.
#include "ops/chain.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/geometry.hpp"
#include "bindings/memory.hpp"
#include "ops/elementwise.hpp"

namespace fastconv::bindings {
namespace {

// Adds layers one by one, each checked against the shape that the one before gives, then runs them.
class Chain {
  public:
    explicit Chain(const std::vector<index_t>& image_shape) : image_shape_(image_shape), shape_(image_shape) {
        index_t size = 1;
        for (const index_t length : shape_) {
            if (length < 1 || size > (index_t{1} << 40) / length)
                throw py::value_error("Chain: image_shape must be positive, received " +
                                      format_shape(shape_.begin(), shape_.end()));
            size *= length;
        }
    }

    void conv2d(const py::array& kernel, const OptionalArray& bias, const ConvIntegers& geometry, bool relu) {
        Arguments check("Chain.conv2d");
        const ops::Conv2dShape s = conv_shape(check, kernel, bias, geometry);
        add(ops::conv2d_stage(s, weights(kernel), weights(bias), activation(relu)),
            {s.out_height, s.out_width, s.out_channels});
    }
    void conv2d_max_pool2d(const py::array& kernel, const OptionalArray& bias, const ConvIntegers& conv_geometry,
                           const PoolIntegers& pool_geometry, bool relu) {
        Arguments check("Chain.conv2d_max_pool2d");
        const ops::Conv2dShape s = conv_shape(check, kernel, bias, conv_geometry);
        const ops::Pool2dShape p = pool2d_shape(pool_geometry, {1, s.out_height, s.out_width, s.out_channels});
        add(ops::conv2d_max_pool2d_stage(s, p, weights(kernel), weights(bias), activation(relu)),
            {p.out_height, p.out_width, p.channels});
    }
    void max_pool2d(const PoolIntegers& geometry) {
        require_image("Chain.max_pool2d");
        const ops::Pool2dShape p = pool2d_shape(geometry, {1, shape_[0], shape_[1], shape_[2]});
        add(ops::max_pool2d_stage(p), {p.out_height, p.out_width, p.channels});
    }
    void flatten() { shape_ = {size()}; }
    void dense(const py::array& kernel, const OptionalArray& bias, bool relu) {
        Arguments check("Chain.dense");
        check.rank("kernel", kernel, 2);
        const index_t units = kernel.shape(1);
        if (shape_.size() != 1) throw py::value_error("Chain.dense: takes flat vectors");
        check.input<float>("kernel", kernel, {shape_[0], units});
        check.input<float>("bias", bias, {units});
        add(ops::dense_stage(shape_[0], units, weights(kernel), weights(bias), activation(relu)), {units});
    }

    // The result for a batch of images, through softmax if asked for; None for anything else.
    py::object run(const py::object& x, bool softmax, int num_threads) {
        if (!py::isinstance<py::array>(x)) return py::none();
        const auto images = py::reinterpret_borrow<py::array>(x);
        if (!is_batch(images)) return py::none();
        if (!chain_) {
            if (stages_.empty()) throw py::value_error("Chain.run: there are no layers");
            chain_ = std::make_unique<ops::Chain>(std::move(stages_), used_weights_);
        }
        const index_t batch = images.shape(0);
        std::vector<index_t> result_shape{batch};
        result_shape.insert(result_shape.end(), shape_.begin(), shape_.end());
        py::array result = empty(result_shape, py::dtype::of<float>());
        const auto* in = static_cast<const float*>(images.data());
        auto* out = static_cast<float*>(result.mutable_data());
        {
            const py::gil_scoped_release release;
            chain_->run(batch, in, out, num_threads);
            if (softmax) ops::softmax(batch * size() / shape_.back(), shape_.back(), out, out, num_threads);
        }
        return result;
    }

  private:
    index_t size() const {
        index_t size = 1;
        for (const index_t length : shape_) size *= length;
        return size;
    }
    bool is_batch(const py::array& x) const {
        bool fits = x.ndim() == static_cast<py::ssize_t>(image_shape_.size()) + 1;
        for (std::size_t i = 0; fits && i < image_shape_.size(); ++i)
            fits = x.shape(static_cast<py::ssize_t>(i) + 1) == image_shape_[i];
        const bool packed = (x.flags() & py::array::c_style) != 0;
        const bool aligned = reinterpret_cast<std::uintptr_t>(x.data()) % alignof(float) == 0;
        return fits && packed && aligned && has_native_dtype<float>(x);
    }
    void require_image(const char* operation) const {
        if (shape_.size() != 3) throw py::value_error(std::string(operation) + ": takes images (H, W, C)");
    }
    ops::Conv2dShape conv_shape(Arguments& check, const py::array& kernel, const OptionalArray& bias,
                                const ConvIntegers& geometry) const {
        require_image("Chain.conv2d");
        check.rank("kernel", kernel, 4);
        const ops::Conv2dShape s = bindings::conv2d_shape(geometry, {1, shape_[0], shape_[1], shape_[2]}, kernel);
        check.input<float>("kernel", kernel, kernel_dims(s));
        check.input<float>("bias", bias, {s.out_channels});
        return s;
    }
    const float* weights(const py::array& array) {
        arrays_.push_back(array);
        const float* data = static_cast<const float*>(array.data());
        used_weights_.push_back({data, array.size()});
        return data;
    }
    const float* weights(const OptionalArray& array) { return array ? weights(*array) : nullptr; }
    void add(std::unique_ptr<ops::Stage> stage, std::vector<index_t> shape) {
        if (chain_) throw py::value_error("Chain: layers cannot be added after the first run");
        if (stage->out_size < 1) throw py::value_error("Chain: a layer gives nothing");
        stages_.push_back(std::move(stage));
        shape_ = std::move(shape);
    }

    const std::vector<index_t> image_shape_;
    std::vector<index_t> shape_;     // of what the last layer gives for an image
    std::vector<py::array> arrays_;  // keeps the weights alive
    std::vector<ops::Chain::Weights> used_weights_;
    std::vector<std::unique_ptr<ops::Stage>> stages_;
    std::unique_ptr<ops::Chain> chain_;
};

}  // namespace

void bind_chain(py::module_& m) {
    using py::arg;
    py::class_<Chain>(m, "Chain")
        .def(py::init<const std::vector<index_t>&>(), arg("image_shape"))
        .def("conv2d", &Chain::conv2d, arg("kernel"), arg("bias").none(true), arg("geometry"), arg("relu"))
        .def("conv2d_max_pool2d", &Chain::conv2d_max_pool2d, arg("kernel"), arg("bias").none(true),
             arg("conv_geometry"), arg("pool_geometry"), arg("relu"))
        .def("max_pool2d", &Chain::max_pool2d, arg("geometry"))
        .def("flatten", &Chain::flatten)
        .def("dense", &Chain::dense, arg("kernel"), arg("bias").none(true), arg("relu"))
        .def("run", &Chain::run, arg("x"), arg("softmax"), arg("num_threads"));
}

}  // namespace fastconv::bindings
