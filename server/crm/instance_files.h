// What is on disk about instances: status.json and the frozen flags.
#ifndef OM_SERVER_CRM_INSTANCE_FILES_H_
#define OM_SERVER_CRM_INSTANCE_FILES_H_

#include "server/base/loop.h"
#include "server/config/paths.h"
#include "server/core/ports.h"

namespace om {

// Reads status.json files. They are written by programs that may be killed at any moment and by
// other resource managers, which remove them during every action: a file that is missing, torn, too
// long or of wrong types is an error in the answer, upon which the core keeps what it knows. Tells
// of the action that holds the instance's lock, too. THREAD: any; works and answers on the
// executor, or, when that is full, answers at once with RESOURCE_EXHAUSTED.
class InstanceStatusLoader final : public InstanceStatusPort {
 public:
  static constexpr size_t kMaxFileBytes = size_t{8} << 20;
  // Below this a file's time and the `updated` in it may differ by rounding.
  static constexpr absl::Duration kTimeRounding = absl::Microseconds(100);

  // `workers` is borrowed and must outlive this object; it may block.
  InstanceStatusLoader(Executor* workers, Roots roots)
      : workers_(workers), roots_(std::move(roots)) {}

  void Load(const ObjectPath& path, std::optional<absl::Time> known,
            Done<absl::StatusOr<LoadedInstance>> done) override;
  // The same, here and now. Blocks on disk.
  static absl::StatusOr<LoadedInstance> LoadNow(const Roots& roots, const ObjectPath& path,
                                                std::optional<absl::Time> known);
  void SignalAction(const ObjectPath& path, int pid, int signal) override;

 private:
  Executor* const workers_;  // Not owned.
  const Roots roots_;
};

// Makes and removes the frozen flags. A flag's time is since when: one that is there already is
// left as it is. THREAD: as InstanceStatusLoader.
class FrozenFlags final : public FlagPort {
 public:
  // `workers` is borrowed and must outlive this object; it may block.
  FrozenFlags(Executor* workers, Roots roots) : workers_(workers), roots_(std::move(roots)) {}

  void SetFrozen(std::optional<ObjectPath> path, bool frozen,
                 Done<absl::StatusOr<std::optional<absl::Time>>> done) override;

 private:
  Executor* const workers_;  // Not owned.
  const Roots roots_;
};

// Reads the stamps that the resource manager leaves when it runs a task: local time as text; the
// file's own time, if that makes no sense. THREAD: as InstanceStatusLoader.
class TaskStamps final : public StampPort {
 public:
  // `workers` is borrowed and must outlive this object; it may block.
  TaskStamps(Executor* workers, Roots roots, absl::TimeZone zone)
      : workers_(workers), roots_(std::move(roots)), zone_(zone) {}

  void LastRun(const ObjectPath& path, const std::string& rid,
               Done<std::optional<absl::Time>> done) override;
  // The same, here and now. Blocks on disk.
  static std::optional<absl::Time> LastRunNow(const Roots& roots, const ObjectPath& path,
                                              const std::string& rid, const absl::TimeZone& zone);

 private:
  Executor* const workers_;  // Not owned.
  const Roots roots_;
  const absl::TimeZone zone_;
};

// Since when, or nullopt. Blocks on disk.
absl::StatusOr<std::optional<absl::Time>> ReadFrozenFlag(const std::string& file);

}  // namespace om

#endif  // OM_SERVER_CRM_INSTANCE_FILES_H_
