#include "server/state/instance_status.h"

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/base/clock.h"
#include "server/base/status.h"

namespace om {
namespace {

absl::Status WrongType(absl::string_view key, absl::string_view expected) {
  return WithField(absl::InvalidArgumentError(absl::StrCat("\"", key, "\" is not ", expected)),
                   key);
}

// Reads one key of an object; a key that is missing, or null, leaves the value as it is. The first
// error stays.
class Reader {
 public:
  explicit Reader(const Json& object, std::string prefix = "")
      : object_(object), prefix_(std::move(prefix)) {}

  void Text(const char* key, std::string* out) {
    if (const Json* value = Find(key)) {
      if (!value->is_string()) return Fail(key, "a string");
      *out = value->get<std::string>();
    }
  }
  void Bool(const char* key, bool* out) {
    if (const Json* value = Find(key)) {
      if (!value->is_boolean()) return Fail(key, "a boolean");
      *out = value->get<bool>();
    }
  }
  void OptionalBool(const char* key, std::optional<bool>* out) {
    // Version 2.1 says "mixed" of instances that are neither; nothing can be told from that.
    if (const Json* value = Find(key)) {
      if (value->is_string()) return;
      if (!value->is_boolean()) return Fail(key, "a boolean");
      *out = value->get<bool>();
    }
  }
  void Int(const char* key, int* out) {
    if (const Json* value = Find(key)) {
      if (!value->is_number_integer() || !InRange(*value)) return Fail(key, "a 32-bit integer");
      *out = value->get<int>();
    }
  }
  void Time(const char* key, absl::Time* out) {
    if (const Json* value = Find(key)) {
      if (!value->is_number()) return Fail(key, "a time in seconds");
      *out = FromUnixSeconds(value->get<double>());
    }
  }
  void State(const char* key, Availability* out) {
    if (const Json* value = Find(key)) {
      if (!value->is_string()) return Fail(key, "a state");
      const std::optional<Availability> state = ParseAvailability(value->get<std::string>());
      if (!state.has_value()) return Fail(key, "a state");
      *out = *state;
    }
  }
  void Texts(const char* key, std::vector<std::string>* out) {
    if (const Json* value = Find(key)) {
      if (!value->is_array()) return Fail(key, "a list of strings");
      for (const Json& item : *value) {
        if (!item.is_string()) return Fail(key, "a list of strings");
        out->push_back(item.get<std::string>());
      }
    }
  }
  const Json* Object(const char* key) {
    const Json* value = Find(key);
    if (value != nullptr && !value->is_object()) {
      Fail(key, "an object");
      return nullptr;
    }
    return value;
  }
  const Json* Find(const char* key) const {
    const auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }
  void Fail(const char* key, const char* expected) {
    if (status_.ok()) status_ = WrongType(absl::StrCat(prefix_, key), expected);
  }
  const absl::Status& status() const { return status_; }

 private:
  static bool InRange(const Json& value) {
    if (value.is_number_unsigned()) {
      return value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int>::max());
    }
    const int64_t number = value.get<int64_t>();
    return number >= std::numeric_limits<int>::min() && number <= std::numeric_limits<int>::max();
  }

  const Json& object_;
  const std::string prefix_;
  absl::Status status_;
};

absl::StatusOr<ResourceStatus> ParseResource(const std::string& rid, const Json& json) {
  const std::string prefix = absl::StrCat("resources.", rid);
  if (!json.is_object()) return WrongType(prefix, "an object");
  ResourceStatus resource;
  resource.rid = rid;
  Reader reader(json, absl::StrCat(prefix, "."));
  reader.State("status", &resource.status);
  reader.Text("type", &resource.type);
  reader.Text("label", &resource.label);
  reader.Bool("disable", &resource.disabled);
  reader.Bool("standby", &resource.standby);
  reader.Bool("encap", &resource.encap);
  reader.Bool("optional", &resource.optional);
  reader.Bool("monitor", &resource.monitored);
  reader.Int("restart", &resource.restart);
  reader.Texts("log", &resource.log);
  reader.Texts("tags", &resource.tags);
  reader.Text("subset", &resource.subset);
  if (const Json* info = reader.Object("info")) resource.info = *info;
  if (const Json* provisioned = reader.Object("provisioned")) {
    Reader inner(*provisioned, absl::StrCat(prefix, ".provisioned."));
    inner.OptionalBool("state", &resource.provisioned);
    if (inner.Find("mtime") != nullptr) {
      inner.Time("mtime", &resource.provisioned_time.emplace());
    }
    RETURN_IF_ERROR(inner.status());
  }
  RETURN_IF_ERROR(reader.status());
  return resource;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const InstanceStatus>> ParseInstanceStatus(Json document) {
  if (!document.is_object()) return absl::InvalidArgumentError("the document is not a JSON object");
  auto status = std::make_shared<InstanceStatus>();
  Reader reader(document);
  if (reader.Find("updated") == nullptr) reader.Fail("updated", "there");
  reader.Time("updated", &status->updated);
  reader.Text("kind", &status->kind);
  reader.Text("csum", &status->csum);
  reader.Text("app", &status->app);
  reader.Text("env", &status->env);
  status->has_avail = reader.Find("avail") != nullptr;
  reader.State("avail", &status->avail);
  reader.State("overall", &status->overall);
  reader.State("optional", &status->optional);
  reader.OptionalBool("provisioned", &status->provisioned);
  reader.Text("topology", &status->topology);
  reader.Text("orchestrate", &status->orchestrate);
  reader.Text("placement", &status->placement);
  reader.Bool("constraints", &status->constraints);
  reader.Int("flex_target", &status->flex_target);
  reader.Int("flex_min", &status->flex_min);
  reader.Int("flex_max", &status->flex_max);
  reader.Texts("parents", &status->parents);
  reader.Texts("children", &status->children);
  reader.Texts("slaves", &status->slaves);
  reader.Texts("scaler_slaves", &status->scaler_slaves);
  if (reader.Find("scale") != nullptr) reader.Int("scale", &status->scale.emplace());
  reader.Bool("scaler_slave", &status->scaler_slave);
  reader.Bool("stonith", &status->stonith);
  reader.Bool("drp", &status->drp);
  reader.Texts("running", &status->running);
  // On a host `encap` holds the statuses of containers; only in a container it is `true`.
  const Json* encap = reader.Find("encap");
  status->encap = encap != nullptr && encap->is_boolean() && encap->get<bool>();
  if (const Json* groups = reader.Object("status_group")) {
    Reader inner(*groups, "status_group.");
    for (const auto& [group, state] : groups->items()) {
      inner.State(group.c_str(), &status->status_group[group]);
    }
    RETURN_IF_ERROR(inner.status());
  }
  if (const Json* resources = reader.Object("resources")) {
    for (const auto& [rid, json] : resources->items()) {
      ASSIGN_OR_RETURN(ResourceStatus resource, ParseResource(rid, json));
      status->resources.push_back(std::move(resource));
    }
  }
  RETURN_IF_ERROR(reader.status());
  status->document = std::make_shared<const Json>(std::move(document));
  return std::shared_ptr<const InstanceStatus>(std::move(status));
}

}  // namespace om
