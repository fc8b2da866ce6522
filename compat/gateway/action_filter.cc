#include "compat/gateway/action_filter.h"

#include <algorithm>
#include <array>

#include "server/service/caller.h"

namespace om {
namespace {

// The names of one action in all versions. Actions with a single name are not here.
constexpr std::array<std::array<absl::string_view, 2>, 11> kSynonyms = {{
    {"blacklist_clear", "daemon_blacklist_clear"},
    {"blacklist_status", "daemon_blacklist_status"},
    {"clear", "object_clear"},
    {"create", "object_create"},
    {"get_node_config", "node_config"},
    {"get_service_config", "object_config"},
    {"service_action", "object_action"},
    {"service_backlogs", "object_backlogs"},
    {"service_logs", "object_logs"},
    {"set_node_monitor", "node_monitor"},
    {"set_service_monitor", "object_monitor"},
}};

// One name for all of them.
absl::string_view MainName(absl::string_view action) {
  for (const auto& names : kSynonyms) {
    if (action == names[1]) return names[0];
  }
  return action;
}

bool OnlyReads(absl::string_view action) {
  const OperationRule* rule = FindOperationRule(action);
  return rule != nullptr && !rule->changes();
}

}  // namespace

ActionFilter ActionFilter::Of(const std::vector<std::string>& words,
                              const std::vector<std::string>& known,
                              std::vector<std::string>* unknown) {
  bool all = false;
  bool read = false;
  std::set<absl::string_view> named;
  for (const std::string& word : words) {
    if (word == "all") {
      all = true;
    } else if (word == "read") {
      read = true;
    } else if (std::find(known.begin(), known.end(), word) != known.end()) {
      named.insert(MainName(word));
    } else if (unknown != nullptr) {
      unknown->push_back(word);
    }
  }
  ActionFilter filter;
  if (all) return filter;
  for (const std::string& action : known) {
    if (named.count(MainName(action)) > 0 || (read && OnlyReads(action))) continue;
    filter.refused_.insert(action);
  }
  return filter;
}

bool ActionFilter::Accepts(absl::string_view action) const {
  return refused_.count(std::string(action)) == 0;
}

}  // namespace om
