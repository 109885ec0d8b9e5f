// Steps of optimizers, in place.
#include "ops/optimizer.hpp"

#include <pybind11/stl.h>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"

namespace fastconv::bindings {
namespace {

void adam_step(const py::array& gradients, const py::array& momentum, const py::array& velocity,
               const OptionalArray& velocity_hat, const py::array& parameters, double momentum_rate,
               double velocity_rate, double epsilon, double rate, int num_threads) {
    dispatch("adam_step", "gradients", gradients, [&]<class T>(Type<T>, Arguments& check) {
        check.rank("gradients", gradients, 1);
        const std::array dims = {index_t{gradients.size()}};
        kernels::AdamStep<T> step{};
        step.size = gradients.size();
        step.gradients = check.input<T>("gradients", gradients);
        step.momentum = check.output<T>("momentum", momentum, dims);
        step.velocity = check.output<T>("velocity", velocity, dims);
        step.largest_velocity = check.output<T>("velocity_hat", velocity_hat, dims);
        step.parameters = check.output<T>("parameters", parameters, dims);
        step.momentum_rate = static_cast<T>(momentum_rate);
        step.velocity_rate = static_cast<T>(velocity_rate);
        step.epsilon = static_cast<T>(epsilon);
        step.rate = static_cast<T>(rate);
        const py::gil_scoped_release release;
        ops::adam_step(step, num_threads);
    });
}

}  // namespace

void bind_optimizer(py::module_& m) {
    using py::arg;
    m.def("adam_step", &adam_step, arg("gradients"), arg("momentum"), arg("velocity"), arg("velocity_hat"),
          arg("parameters"), arg("momentum_rate"), arg("velocity_rate"), arg("epsilon"), arg("rate"),
          arg("num_threads"));
}

}  // namespace fastconv::bindings
