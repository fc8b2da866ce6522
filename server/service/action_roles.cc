#include "server/service/action_roles.h"

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace om {
namespace {

constexpr absl::string_view kGuestActions[] = {"eval", "get", "keys", "print_config_mtime"};
constexpr absl::string_view kOperatorActions[] = {"clear",
                                                  "disable",
                                                  "enable",
                                                  "freeze",
                                                  "push_status",
                                                  "push_resinfo",
                                                  "push_config",
                                                  "push_encap_config",
                                                  "presync",
                                                  "prstatus",
                                                  "resource_monitor",
                                                  "restart",
                                                  "resync",
                                                  "run",
                                                  "scale",
                                                  "snooze",
                                                  "start",
                                                  "startstandby",
                                                  "status",
                                                  "stop",
                                                  "stopstandby",
                                                  "thaw",
                                                  "unsnooze"};
constexpr absl::string_view kAdminActions[] = {"add",
                                               "boot",
                                               "create",
                                               "decode",
                                               "delete",
                                               "gen_cert",
                                               "install",
                                               "pg_kill",
                                               "pg_freeze",
                                               "pg_thaw",
                                               "provision",
                                               "set",
                                               "set_provisioned",
                                               "set_unprovisioned",
                                               "shutdown",
                                               "unprovision",
                                               "unset"};

// Orders that operators give. With a destination: "placed@node1".
constexpr absl::string_view kOperatorOrders[] = {"thawed",  "frozen", "started", "stopped",
                                                 "aborted", "placed", "shutdown"};

constexpr absl::string_view kFlags[] = {"--confirm", "--cron",   "--disable-rollback", "--dry-run",
                                        "--eval",    "--force",  "--hide-disabled",    "--leader",
                                        "--local",   "--master", "--no-pager",         "--parallel",
                                        "--refresh", "--slaves", "--unprovision",      "--wait"};
// With a value, in the same word after "=" or in the next one.
constexpr absl::string_view kValueOptions[] = {
    "--color", "--downto",  "--duration", "--filter", "--format", "--impersonate", "--key",
    "--rid",   "--subsets", "--tags",     "--time",   "--to",     "--upto",        "--waitlock"};

template <class List>
bool IsIn(const List& list, absl::string_view word) {
  return std::find(std::begin(list), std::end(list), word) != std::end(list);
}

// Options that only some actions have for others than root.
bool IsOptionOf(absl::string_view action, absl::string_view option) {
  if (action == "get" || action == "eval") return option == "--kw" || option == "--param";
  return action == "add" && option == "--value";
}

}  // namespace

Role RoleOfAction(absl::string_view action) {
  const std::string name = absl::StrReplaceAll(action, {{" ", "_"}});
  if (IsIn(kGuestActions, name)) return Role::kGuest;
  if (IsIn(kOperatorActions, name)) return Role::kOperator;
  if (IsIn(kAdminActions, name)) return Role::kAdmin;
  return Role::kRoot;
}

ActionNeed NeedOfAction(const std::vector<std::string>& words, bool has_input) {
  size_t next = 0;
  while (next < words.size() && !absl::StartsWith(words[next], "-")) ++next;
  const std::string action =
      absl::StrJoin(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(next), "_");
  const Role role = RoleOfAction(action);
  if (role == Role::kRoot) return {};
  const auto root = [](std::string why) { return ActionNeed{Role::kRoot, std::move(why)}; };
  if (action == "set" || action == "unset") {
    return root(absl::StrCat("the action ", action,
                             " is root's; others change configurations with "
                             "om.control.v1.ConfigService/UpdateConfig, which judges the result"));
  }
  if (action == "create") {
    return root(
        "the action create is root's; others create objects with "
        "om.control.v1.ActionService/CreateObjects, which judges their configurations");
  }
  if (has_input && action != "add") {
    return root(absl::StrCat("standard input for the action ", action, " is root's"));
  }
  for (; next < words.size(); ++next) {
    const absl::string_view word = words[next];
    const size_t equals = word.find('=');
    const absl::string_view option = word.substr(0, equals);
    if (!absl::StartsWith(word, "--")) {
      return root(
          absl::StrCat("words after the options of an action, and short options, are "
                       "root's; the action ",
                       action, " has one as its word ", next + 1));
    }
    if (equals == absl::string_view::npos && IsIn(kFlags, word)) continue;
    if (!IsIn(kValueOptions, option) && !IsOptionOf(action, option)) {
      return root(absl::StrCat("the option ", option.substr(0, 64), " of the action ", action,
                               " is root's"));
    }
    if (equals != absl::string_view::npos) continue;
    ++next;
    // Programs differ in what they take a word with a dash for.
    if (next == words.size() || absl::StartsWith(words[next], "-")) {
      return root(absl::StrCat("the option ", option, " of the action ", action,
                               " lacks a value, or it starts with a dash: write it as ", option,
                               "=<value>"));
    }
  }
  return {role, ""};
}

Role RoleOfOrder(const control::v1::SetInstanceMonitorRequest& request) {
  if (request.has_status() || request.has_local_expect() || request.has_stonith()) {
    return Role::kAdmin;
  }
  if (!request.has_global_expect()) {
    return request.reset_retries() ? Role::kOperator : Role::kAdmin;
  }
  const absl::string_view order = request.global_expect();
  if (request.reset_retries()) return Role::kAdmin;
  if (IsIn(kOperatorOrders, order) || absl::StartsWith(order, "placed@")) return Role::kOperator;
  return Role::kAdmin;
}

}  // namespace om
