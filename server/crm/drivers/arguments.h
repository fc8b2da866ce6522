// omcrm's command line.
#ifndef OM_SERVER_CRM_DRIVERS_ARGUMENTS_H_
#define OM_SERVER_CRM_DRIVERS_ARGUMENTS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/crm/drivers/actions.h"

namespace om {

enum class Action {
  kStart,
  kStartStandby,
  kStop,
  kShutdown,
  kRestart,
  kBoot,
  kProvision,
  kUnprovision,
  kPurge,
  kDelete,
  kRun,
  kFreeze,
  kThaw,
  kEnable,
  kDisable,
  kToc,
  kStatus,
  kResourceMonitor,
  kPushInfo,
  kPrintStatus,
  kPrintConfig,
  kPrintInfo,
  kCreate,
  kSet,
  kUnset,
  kGet,
  kClear,
};

// What is known about an action.
struct ActionInfo {
  Action action;
  absl::string_view name;
  // What a person's command shows as the instance's state meanwhile, and if it fails. Empty:
  // nothing.
  absl::string_view progress;
  absl::string_view failure;
  bool locked;     // Takes the action lock.
  bool here_only;  // Needs the service to be allowed on this node.
  bool stops;      // A person's command disarms what would start the instance again.
  bool several;    // May be asked of several objects at once.
};

// nullptr if omcrm does not have it.
const ActionInfo* FindAction(absl::string_view name);

// One change asked for by --kw, or by --param with --value.
struct KeywordChange {
  enum class Kind { kSet, kAppend, kRemove };
  std::string param;  // "app#1.start"; without a section: DEFAULT.
  Kind kind = Kind::kSet;
  std::string value;
};

struct Arguments {
  std::vector<std::string> paths;
  std::string action;
  std::string root;
  bool refresh = false;
  bool parallel = false;
  bool json = false;  // --format json.
  bool eval = false;
  bool unprovision = false;  // A delete that unprovisions first.
  std::string impersonate;
  std::string config;                 // --config; "-" is standard input.
  std::vector<std::string> keywords;  // --kw as given, --param and --value joined.
  // Set in processes that omcrm starts itself: the pid of the one that did, what they are a part
  // of.
  int parent_pid = 0;
  bool several = false;  // The exit code tells no state, as for several objects.
  std::string step;
  ActionOptions options;
};

absl::string_view Usage();

absl::StatusOr<Arguments> ParseArguments(int argc, char** argv);

// "a.b=c", "a.b+=c" or "a.b-=c".
absl::StatusOr<KeywordChange> ParseKeywordChange(absl::string_view text);

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_ARGUMENTS_H_
