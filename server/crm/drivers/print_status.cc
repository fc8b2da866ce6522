#include "server/crm/drivers/print_status.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace om {
namespace {

std::string Text(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : "";
}

bool IsTrue(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_boolean() && it->get<bool>();
}

std::string Flags(const Json& document, const std::string& rid, const Json& resource) {
  std::string flags = "........";
  const auto running = document.find("running");
  if (running != document.end() && running->is_array() &&
      std::find(running->begin(), running->end(), Json(rid)) != running->end()) {
    flags[0] = 'R';
  }
  if (IsTrue(resource, "monitor")) flags[1] = 'M';
  if (IsTrue(resource, "disable")) flags[2] = 'D';
  if (IsTrue(resource, "optional")) flags[3] = 'O';
  if (IsTrue(resource, "encap")) flags[4] = 'E';
  const auto provisioned = resource.find("provisioned");
  const bool known =
      provisioned != resource.end() && provisioned->is_object() && provisioned->contains("state");
  if (!known) {
    flags[5] = '/';
  } else if (!IsTrue(*provisioned, "state")) {
    flags[5] = 'P';
  }
  if (IsTrue(resource, "standby")) flags[6] = 'S';
  const auto restart = resource.find("restart");
  if (restart != resource.end() && restart->is_number_integer() && restart->get<int64_t>() > 0) {
    const int64_t count = restart->get<int64_t>();
    flags[7] = count < 10 ? static_cast<char>('0' + count) : '+';
  }
  return flags;
}

}  // namespace

std::string StatusForPeople(absl::string_view path, const Json& document) {
  std::string text = absl::StrCat(path);
  for (const char* key : {"avail", "overall"}) {
    const std::string value = Text(document, key);
    if (!value.empty()) absl::StrAppend(&text, "  ", key, ": ", value);
  }
  if (document.contains("frozen")) absl::StrAppend(&text, "  frozen");
  if (document.contains("constraints")) absl::StrAppend(&text, "  constraints violated");
  if (document.contains("provisioned") && !IsTrue(document, "provisioned")) {
    absl::StrAppend(&text, "  not provisioned");
  }
  absl::StrAppend(&text, "\n");
  const auto resources = document.find("resources");
  if (resources == document.end() || !resources->is_object()) return text;
  for (const auto& [rid, resource] : resources->items()) {
    absl::StrAppend(&text,
                    absl::StrFormat("  %-14s %s  %-11s %s\n", rid, Flags(document, rid, resource),
                                    Text(resource, "status"), Text(resource, "label")));
    const auto log = resource.find("log");
    if (log == resource.end() || !log->is_array()) continue;
    for (const Json& line : *log) {
      if (line.is_string()) absl::StrAppend(&text, "      ", line.get<std::string>(), "\n");
    }
  }
  return text;
}

}  // namespace om
