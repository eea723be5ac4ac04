// An accelerator for machines that have none: memory of its own, random numbers of its own, the CPU's arithmetic.
//
// PyTorch keeps a place ("PrivateUse1") for devices that others bring. This one computes every operation with the CPU's
// kernels, in place, on aliases of its tensors. To PyTorch its tensors are on another device all the same: what mixes
// them with the CPU's, or hands them to NumPy, fails as it does with CUDA. As on CUDA, too, its random numbers are not
// the CPU's for the same seed, and convolutions round their inputs to TF32 (10 bits of fraction) unless told not to.
// As on Apple's GPUs there is no float64.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <cstdlib>
#include <cstring>
#include <set>
#include <unordered_map>

namespace {

using at::Tensor;
using c10::DispatchKey, c10::DispatchKeySet, c10::SymInt, c10::SymIntArrayRef;
using MaybeTensor = std::optional<Tensor>;

constexpr auto KIND = c10::DeviceType::PrivateUse1;
const c10::Device HERE(KIND, 0);

// Memory ------------------------------------------------------------------------------------------------------------

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* memory = nullptr;
    TORCH_CHECK(bytes == 0 || posix_memalign(&memory, 64, bytes) == 0, "out of memory");
    return {memory, memory, &std::free, HERE};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { std::memcpy(to, from, bytes); }
} allocator;
REGISTER_ALLOCATOR(KIND, &allocator);

void check_type(at::ScalarType type) {
  TORCH_CHECK(type != at::kDouble, "There is no float64 on ", HERE, ", as on Apple's GPUs: use float32, or the CPU");
}

Tensor on_cpu(const Tensor& t) {  // the same memory, seen as the CPU's
  if (!t.defined() || !t.is_privateuseone()) return t;
  return at::from_blob(t.data_ptr(), t.sizes(), t.strides(), [](void*) {}, t.options().device(at::kCPU));
}

Tensor on_device(const Tensor& t) {  // the same memory, seen as the device's; it lives as long as either tensor
  if (!t.defined() || !t.is_cpu()) return t;
  check_type(t.scalar_type());
  const auto free = [](void* kept) { delete static_cast<c10::Storage*>(kept); };
  c10::DataPtr memory(t.storage().mutable_data(), new c10::Storage(t.storage()), free, HERE);
  auto storage = c10::make_intrusive<c10::StorageImpl>(
      c10::StorageImpl::use_byte_size_t(), t.storage().nbytes(), std::move(memory), &allocator, true);
  auto made = at::detail::make_tensor<c10::TensorImpl>(
      c10::Storage(storage), DispatchKeySet(DispatchKey::PrivateUse1), t.dtype());
  made.unsafeGetTensorImpl()->set_storage_offset(t.storage_offset());
  made.unsafeGetTensorImpl()->set_sizes_and_strides(t.sizes(), t.strides());
  return made;
}

// One stream, which never runs behind --------------------------------------------------------------------------------

struct Guard final : c10::impl::NoOpDeviceGuardImpl<KIND> {
  static c10::Stream only() { return c10::Stream(c10::Stream::DEFAULT, HERE); }
  c10::Device exchangeDevice(c10::Device) const override { return HERE; }
  c10::Device getDevice() const override { return HERE; }
  c10::Stream getStream(c10::Device) const noexcept override { return only(); }
  c10::Stream getNewStream(c10::Device, int) const override { return only(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return only(); }
  void record(void** event, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {
    static char any;
    *event = &any;
  }
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void*) const override {}
  void synchronizeDevice(const c10::DeviceIndex) const override {}
  void recordDataPtrOnStream(const c10::DataPtr&, const c10::Stream&) const override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

// Random numbers -----------------------------------------------------------------------------------------------------

struct Generator final : c10::GeneratorImpl {
  static constexpr uint64_t APART = 0x9e3779b9;  // so that no seed gives the CPU's numbers
  uint64_t told = c10::default_rng_seed_val;
  at::Generator inner = at::detail::createCPUGenerator(told + APART);

  Generator() : c10::GeneratorImpl(HERE, DispatchKeySet(DispatchKey::PrivateUse1)) {}
  static c10::DeviceType device_type() { return KIND; }
  void set_current_seed(uint64_t seed) override { inner.set_current_seed((told = seed) + APART); }
  uint64_t current_seed() const override { return told; }
  uint64_t seed() override {
    set_current_seed(c10::detail::getNonDeterministicRandom(false));
    return told;
  }
  void set_offset(uint64_t) override { TORCH_CHECK(false, "this generator has no offset"); }
  uint64_t get_offset() const override { TORCH_CHECK(false, "this generator has no offset"); }
  void set_state(const c10::TensorImpl& state) override {
    auto kept = c10::intrusive_ptr<c10::TensorImpl>::reclaim_copy(const_cast<c10::TensorImpl*>(&state));
    inner.set_state(Tensor::wrap_tensor_impl(kept));
  }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override { return inner.get_state().getIntrusivePtr(); }
  Generator* clone_impl() const override {
    auto* made = new Generator();
    made->told = told;
    made->inner = inner.clone();
    return made;
  }
};

at::Generator& default_generator() {
  static at::Generator only = at::make_generator<Generator>();
  return only;
}

at::Generator inner(const at::Generator& g) {
  TORCH_CHECK(g.device().type() == KIND, "Expected a '", HERE.type(), "' generator but found '", g.device(), "'");
  return static_cast<Generator*>(g.unsafeGetGeneratorImpl())->inner;
}

struct Hooks final : at::PrivateUse1HooksInterface {
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override { return default_generator(); }
  at::Generator getNewGenerator(c10::DeviceIndex) const override { return at::make_generator<Generator>(); }
  at::Device getDeviceFromPtr(void*) const override { return HERE; }
  bool isPinnedPtr(const void*) const override { return false; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  void init() const override {}
} hooks;
const bool registered = (at::RegisterPrivateUse1HooksInterface(&hooks), true);

// Every operation that nothing below names ---------------------------------------------------------------------------

// CUDA, too, takes indices from the CPU.
const std::set<std::string> MAY_MIX = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"};

void with_the_cpus_kernel(const c10::OperatorHandle& op, DispatchKeySet, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  const auto& arguments = schema.arguments();
  const auto first = stack->size() - arguments.size();
  std::vector<std::pair<Tensor, Tensor>> lent;  // the CPU's view of a tensor, and the tensor
  bool ours = false, theirs = false;

  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto* alias = arguments[i].alias_info();
    const bool out = arguments[i].kwarg_only() && alias && alias->isWrite();  // may be resized: written apart
    auto lend = [&](const Tensor& t) {
      if (!t.defined()) return t;
      if (!t.is_privateuseone()) {
        theirs |= t.dim() > 0;
        return t;
      }
      ours = true;
      lent.emplace_back(out ? at::empty({0}, t.options().device(at::kCPU)) : on_cpu(t), t);
      return lent.back().first;
    };
    auto& value = (*stack)[first + i];
    if (value.isTensor()) {
      value = lend(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<Tensor> list;
      for (const Tensor& t : value.toTensorList()) list.push_back(lend(t));
      value = list;
    } else if (value.isOptionalTensorList()) {
      c10::List<MaybeTensor> list;
      for (const MaybeTensor& t : value.toOptionalTensorList().vec()) list.push_back(t ? MaybeTensor(lend(*t)) : t);
      value = list;
    } else if (value.isDevice()) {
      value = c10::Device(at::kCPU);
    } else if (value.isGenerator()) {
      value = inner(value.toGenerator());
    } else if (value.isNone() && arguments[i].name() == "generator") {
      value = inner(default_generator());
    }
  }
  TORCH_CHECK(!(ours && theirs) || MAY_MIX.count(schema.name()), "Expected all tensors to be on the same device, but ",
              schema.name(), " got some on ", HERE, " and some on the CPU");

  op.redispatchBoxed(DispatchKeySet(DispatchKey::CPU), stack);

  for (auto& [alias, t] : lent) {
    if (t.sizes() == alias.sizes()) {
      if (alias.numel() && alias.data_ptr() != t.data_ptr()) on_cpu(t).copy_(alias);
      continue;
    }
    TORCH_CHECK(t.numel() == 0, schema.name(), " resized a tensor that holds something");
    const auto made = on_device(alias);
    t.unsafeGetTensorImpl()->set_storage_keep_dtype(made.storage());
    t.unsafeGetTensorImpl()->set_sizes_and_strides(made.sizes(), made.strides());
  }
  const auto results = stack->size() - schema.returns().size();
  for (size_t i = 0; i < schema.returns().size(); ++i) {
    const auto* alias = schema.returns()[i].alias_info();
    auto give = [&](const Tensor& t) {
      for (auto& [view, own] : lent)
        if (view.is_same(t)) return own;
      TORCH_CHECK(!alias || alias->isWrite(), schema.name(), " gives a view: it needs a function of its own");
      return on_device(t);
    };
    auto& value = (*stack)[results + i];
    if (value.isTensor()) {
      value = give(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<Tensor> list;
      for (const Tensor& t : value.toTensorList()) list.push_back(give(t));
      value = list;
    }
  }
}

// What PyTorch asks of every device ----------------------------------------------------------------------------------

Tensor empty(SymIntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
             std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  check_type(c10::dtype_or_default(dtype));
  return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size), &allocator, DispatchKeySet(DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(dtype), format);
}

Tensor empty_strided(SymIntArrayRef size, SymIntArrayRef stride, std::optional<at::ScalarType> dtype,
                     std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  check_type(c10::dtype_or_default(dtype));
  return at::detail::empty_strided_generic(
      C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), &allocator,
      DispatchKeySet(DispatchKey::PrivateUse1), c10::dtype_or_default(dtype));
}

Tensor copy_from(const Tensor& from, const Tensor& to, bool) {
  on_cpu(to).copy_(on_cpu(from));
  return to;
}

Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
  to.resize_(from.sizes());
  return copy_from(from, to, false);
}

const Tensor& resize_(const Tensor& self, SymIntArrayRef size, std::optional<at::MemoryFormat>) {
  const auto sizes = C10_AS_INTARRAYREF_SLOW(size);
  const auto bytes =
      at::detail::computeStorageNbytesContiguous(sizes, self.dtype().itemsize(), self.storage_offset());
  auto storage = self.storage();
  if (storage.nbytes() < bytes) {
    auto memory = allocator.allocate(bytes);
    if (storage.nbytes()) std::memcpy(memory.get(), storage.data(), storage.nbytes());
    storage.set_data_ptr(std::move(memory));
    storage.set_nbytes(bytes);
  }
  self.unsafeGetTensorImpl()->set_sizes_contiguous(sizes);
  return self;
}

Tensor& set_(Tensor& self, at::Storage storage, SymInt offset, SymIntArrayRef size, SymIntArrayRef stride) {
  auto* tensor = self.unsafeGetTensorImpl();
  tensor->set_storage_keep_dtype(storage);
  tensor->set_storage_offset(offset.guard_int(__FILE__, __LINE__));
  if (stride.empty())
    tensor->set_sizes_contiguous(C10_AS_INTARRAYREF_SLOW(size));
  else
    tensor->set_sizes_and_strides(C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride));
  return self;
}

Tensor& set_whole(Tensor& self, at::Storage storage) {
  const SymInt numbers(static_cast<int64_t>(storage.nbytes() / self.dtype().itemsize()));
  return set_(self, storage, 0, {numbers}, {});
}

Tensor as_strided(const Tensor& self, SymIntArrayRef size, SymIntArrayRef stride, std::optional<SymInt> offset) {
  return at::native::as_strided_tensorimpl(
      self, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride),
      offset ? std::optional<int64_t>(offset->guard_int(__FILE__, __LINE__)) : std::nullopt);
}

Tensor view(const Tensor& self, SymIntArrayRef size) { return at::native::view(self, C10_AS_INTARRAYREF_SLOW(size)); }

Tensor reshape_alias(const Tensor& self, SymIntArrayRef size, SymIntArrayRef stride) {
  return at::native::_reshape_alias(self, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride));
}

// Operations that an accelerator must bring: convolutions, and the cells of LSTM and GRU -------------------------------

void check_same(std::initializer_list<MaybeTensor> tensors) {
  for (const auto& t : tensors)
    TORCH_CHECK(!t || !t->defined() || t->device() == HERE, "Expected all tensors to be on the same device, but got one on ",
                t->device());
}

MaybeTensor on_cpu(const MaybeTensor& t) { return t ? MaybeTensor(on_cpu(*t)) : t; }

Tensor tf32(const Tensor& t) {
  if (!at::globalContext().allowTF32CuDNN() || t.scalar_type() != at::kFloat) return on_cpu(t);
  auto rounded = on_cpu(t).clone(at::MemoryFormat::Contiguous);
  auto* bits = static_cast<int32_t*>(rounded.data_ptr());
  for (int64_t i = 0; i < rounded.numel(); ++i) bits[i] = (bits[i] + 0x1000) & ~0x1fff;
  return rounded;
}

Tensor convolution(const Tensor& x, const Tensor& weight, const MaybeTensor& bias, SymIntArrayRef stride,
                   SymIntArrayRef padding, SymIntArrayRef dilation, bool transposed, SymIntArrayRef output_padding,
                   SymInt groups) {
  check_same({x, weight, bias});
  return on_device(at::convolution_symint(tf32(x), tf32(weight), on_cpu(bias), stride, padding, dilation, transposed,
                                          output_padding, groups));
}

std::tuple<Tensor, Tensor, Tensor> convolution_backward(
    const Tensor& gradient, const Tensor& x, const Tensor& weight, SymIntArrayRef stride, SymIntArrayRef padding,
    SymIntArrayRef dilation, bool transposed, SymIntArrayRef output_padding, SymInt groups, std::array<bool, 3> wanted) {
  const auto channels = transposed ? weight.sym_size(1) * groups : weight.sym_size(0);
  auto [dx, dw, db] = at::convolution_backward_symint(
      tf32(gradient), tf32(x), tf32(weight), SymIntArrayRef({channels}), stride, padding, dilation, transposed,
      output_padding, groups, wanted);
  return {on_device(dx), on_device(dw), on_device(db)};
}

std::tuple<Tensor, Tensor, Tensor> lstm_cell(const Tensor& from_input, const Tensor& from_state, const Tensor& cell,
                                             const MaybeTensor& input_bias, const MaybeTensor& state_bias) {
  check_same({from_input, from_state, cell, input_bias, state_bias});
  auto sum = on_cpu(from_input) + on_cpu(from_state);
  if (input_bias && input_bias->defined()) sum = sum + on_cpu(*input_bias) + on_cpu(*state_bias);
  auto parts = sum.chunk(4, 1);
  auto in = parts[0].sigmoid(), forget = parts[1].sigmoid(), value = parts[2].tanh(), out = parts[3].sigmoid();
  auto next = forget * on_cpu(cell) + in * value;
  return {on_device(out * next.tanh()), on_device(next), on_device(at::cat({in, forget, value, out}, 1))};
}

std::tuple<Tensor, Tensor, Tensor> lstm_cell_backward(const MaybeTensor& d_state, const MaybeTensor& d_cell,
                                                      const Tensor& cell, const Tensor& next, const Tensor& gates,
                                                      bool bias) {
  auto parts = on_cpu(gates).chunk(4, 1);
  auto in = parts[0], forget = parts[1], value = parts[2], out = parts[3], before = on_cpu(cell);
  auto dh = d_state && d_state->defined() ? on_cpu(*d_state) : at::zeros_like(before);
  auto dc = d_cell && d_cell->defined() ? on_cpu(*d_cell) : at::zeros_like(before);
  auto squashed = on_cpu(next).tanh();
  dc = dc + dh * out * (1 - squashed.square());
  auto d_sum = at::cat({dc * value * in * (1 - in), dc * before * forget * (1 - forget), dc * in * (1 - value.square()),
                        dh * squashed * out * (1 - out)}, 1);
  return {on_device(d_sum), on_device(dc * forget), bias ? on_device(d_sum.sum(0)) : Tensor()};
}

std::tuple<Tensor, Tensor> gru_cell(const Tensor& from_input, const Tensor& from_state, const Tensor& state,
                                    const MaybeTensor& input_bias, const MaybeTensor& state_bias) {
  check_same({from_input, from_state, state, input_bias, state_bias});
  auto x = on_cpu(from_input), h = on_cpu(from_state), old = on_cpu(state);
  if (input_bias && input_bias->defined()) {
    x = x + on_cpu(*input_bias);
    h = h + on_cpu(*state_bias);
  }
  auto a = x.chunk(3, 1), b = h.chunk(3, 1);
  auto reset = (a[0] + b[0]).sigmoid(), keep = (a[1] + b[1]).sigmoid(), value = (a[2] + reset * b[2]).tanh();
  return {on_device(value + keep * (old - value)), on_device(at::cat({reset, keep, value, old, b[2]}, 1))};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> gru_cell_backward(const Tensor& d_state, const Tensor& kept,
                                                                     bool bias) {
  auto parts = on_cpu(kept).chunk(5, 1);
  auto reset = parts[0], keep = parts[1], value = parts[2], old = parts[3], inside = parts[4], d = on_cpu(d_state);
  auto d_keep = d * (old - value) * keep * (1 - keep);
  auto d_value = d * (1 - keep) * (1 - value.square());
  auto d_reset = d_value * inside * reset * (1 - reset);
  auto dx = at::cat({d_reset, d_keep, d_value}, 1), dh = at::cat({d_reset, d_keep, d_value * reset}, 1);
  return {on_device(dx), on_device(dh), on_device(d * keep), bias ? on_device(dx.sum(0)) : Tensor(),
          bias ? on_device(dh.sum(0)) : Tensor()};
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&with_the_cpus_kernel>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("resize_", resize_);
  m.impl("set_.source_Storage_storage_offset", set_);
  m.impl("set_.source_Storage", set_whole);
  m.impl("as_strided", as_strided);
  m.impl("view", view);
  m.impl("_reshape_alias", reshape_alias);
  m.impl("unfold", at::native::unfold);
  m.impl("convolution_overrideable", convolution);
  m.impl("convolution_backward_overrideable", convolution_backward);
  m.impl("_thnn_fused_lstm_cell", lstm_cell);
  m.impl("_thnn_fused_lstm_cell_backward_impl", lstm_cell_backward);
  m.impl("_thnn_fused_gru_cell", gru_cell);
  m.impl("_thnn_fused_gru_cell_backward", gru_cell_backward);
}

TORCH_LIBRARY(standin, m) {
  m.def("manual_seed(int seed) -> ()", [](int64_t seed) { default_generator().set_current_seed(seed); });
  m.def("get_rng_state() -> Tensor", [] { return default_generator().get_state(); });
  m.def("set_rng_state(Tensor state) -> ()", [](const Tensor& state) { default_generator().set_state(state); });
}

}  // namespace
