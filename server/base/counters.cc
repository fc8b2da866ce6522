#include "server/base/counters.h"

namespace om {

Counter* Counters::Get(absl::string_view name) {
  MutexLock lock(&mutex_);
  std::unique_ptr<Counter>& counter = counters_[std::string(name)];
  if (counter == nullptr) counter = std::make_unique<Counter>();
  return counter.get();
}

std::map<std::string, int64_t> Counters::Values() const {
  MutexLock lock(&mutex_);
  std::map<std::string, int64_t> values;
  for (const auto& [name, counter] : counters_) values[name] = counter->value();
  return values;
}

}  // namespace om
