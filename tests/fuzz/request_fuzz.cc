// What a request's text meets between its decryption and the service layer: the parser, every typed
// option, object paths and node selectors.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "compat/gateway/options.h"
#include "compat/wire/request.h"
#include "glog/logging.h"
#include "server/config/object_path.h"
#include "server/config/value.h"

namespace om {
namespace {

// An option is refused, or is what it is said to be.
void ReadOptions(const Json& options) {
  for (const char* name : {"selector", "thr_id", "format", "global_expect", "sender"}) {
    const absl::StatusOr<std::optional<std::string>> value = StringOption(options, name);
    if (!value.ok()) {
      CHECK(absl::IsInvalidArgument(value.status()));
      CHECK(options.contains(name));
    }
  }
  for (const char* name : {"refresh", "wait", "evaluate"}) {
    const absl::StatusOr<std::optional<bool>> value = BoolOption(options, name);
    if (!value.ok()) CHECK(absl::IsInvalidArgument(value.status()));
  }
  const absl::StatusOr<std::string> text = ObjectPathOption(options);
  if (!text.ok() || text->empty()) return;
  const absl::StatusOr<ObjectPath> path = ObjectPath::Parse(*text);
  if (!path.ok()) return;
  // A path names a file: it must not lead out of its folder, and must be the same path again.
  for (const std::string& part : {path->name(), path->ns(), path->kind()}) {
    CHECK(part.find('/') == std::string::npos && part != ".." && part != ".") << part;
  }
  const absl::StatusOr<ObjectPath> again = ObjectPath::Parse(path->ToString());
  CHECK(again.ok() && *again == *path);
}

void Select(const Json& node) {
  if (!node.is_string()) return;
  SelectorNodes known;
  known.nodes = {"node1", "node2"};
  known.local = "node1";
  known.labels["node1"] = {{"az", "1"}};
  (void)SelectNodes(node.get<std::string>(), known);
}

}  // namespace
}  // namespace om

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  const om::ParsedRequest parsed =
      om::ParseRequest(absl::string_view(reinterpret_cast<const char*>(data), size_bytes));
  switch (parsed.outcome) {
    case om::ParsedRequest::Outcome::kNothing:
      break;
    case om::ParsedRequest::Outcome::kRefused:
      CHECK(parsed.refusal.is_object());
      // It is written, whatever was in the request.
      CHECK(om::ParseJson(om::DumpJson(parsed.refusal)).ok());
      break;
    case om::ParsedRequest::Outcome::kRequest:
      CHECK(parsed.request.options.is_object());
      om::ReadOptions(parsed.request.options);
      om::Select(parsed.request.node);
      break;
  }
  return 0;
}
