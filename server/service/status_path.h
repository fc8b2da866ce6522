// Conditions on the state: "services.web.avail=up".
#ifndef OM_SERVER_SERVICE_STATUS_PATH_H_
#define OM_SERVER_SERVICE_STATUS_PATH_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"
#include "server/config/object_path.h"
#include "server/service/visibility.h"
#include "server/state/snapshot.h"

namespace om {

// What is waited for. A value; THREAD: any.
//
// A path leads through the messages of DaemonService by their fields' names:
//   services.<object path>.<field>   of ObjectStatus; instances.<node> and resources.<rid> by name
//   nodes.<node>.<field>             of NodeStatus
//   threads.<id>.<field>             of ThreadStatus
//   cluster.<field>                  of ClusterStatus
// Names may hold dots: the shortest one is meant with which the rest is a path. `frozen` of a node
// or an instance is `frozen` or `thawed`. States are the words that people use, times Unix seconds.
class StatusCondition {
 public:
  // INVALID_ARGUMENT, with the field `condition`, for what can never be: unknown fields and states,
  // an order of what has none. Names of objects and nodes that are not there may come to be.
  static absl::StatusOr<StatusCondition> Parse(absl::string_view text);

  // The value at the path; nullopt: it is not there, or not seen.
  std::optional<std::string> Value(const Snapshot& snapshot,
                                   const Visibility& visibility = Visibility::Everything()) const;
  // Whether that value meets the condition. Nothing but `!=` is met by what is not there.
  bool IsMetBy(const std::optional<std::string>& value) const;

 private:
  enum class Root { kServices, kNodes, kThreads, kCluster };
  enum class Operator { kIsSet, kEqual, kUnequal, kLess, kLessOrEqual, kGreater, kGreaterOrEqual };
  // One field; with a key, an entry of a map or of a list that has names.
  struct Step {
    const google::protobuf::FieldDescriptor* field = nullptr;
    std::string key;
  };

  // The steps that `parts` from `first` on are, in a message of that type; nullopt if they are
  // none.
  static std::optional<std::vector<Step>> Resolve(const google::protobuf::Descriptor* type,
                                                  const std::vector<absl::string_view>& parts,
                                                  size_t first);
  std::optional<std::string> ValueIn(const google::protobuf::Message& message) const;

  Root root_ = Root::kCluster;
  std::string name_;  // Of the node or thread.
  ObjectPath object_;
  std::vector<Step> steps_;
  Operator operator_ = Operator::kIsSet;
  std::string wanted_;
  double wanted_number_ = 0;
};

}  // namespace om

#endif  // OM_SERVER_SERVICE_STATUS_PATH_H_
