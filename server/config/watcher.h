// Notices changes of node.conf and cluster.conf and loads them.
#ifndef OM_SERVER_CONFIG_WATCHER_H_
#define OM_SERVER_CONFIG_WATCHER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/base/clock.h"
#include "server/base/loop.h"
#include "server/config/paths.h"
#include "server/config/settings.h"

namespace om {

// What tells one state of a file from another without reading it.
struct FileStamp {
  bool exists = false;
  absl::Time mtime;
  uint64_t inode = 0;
  int64_t size_bytes = 0;
  friend bool operator==(const FileStamp& a, const FileStamp& b) {
    return a.exists == b.exists && a.mtime == b.mtime && a.inode == b.inode &&
           a.size_bytes == b.size_bytes;
  }
  friend bool operator!=(const FileStamp& a, const FileStamp& b) { return !(a == b); }
};

// The stamp of a file on disk; one that cannot be looked at counts as missing.
FileStamp StampOf(const std::string& path);

// Looks every `period` whether the stamp of a file is another one (newer, older, gone, back again)
// and then loads both files, on the executor; reports on the loop. At most one look is under way at
// a time; with a full executor it is tried again a period later.
//
// Confined to the loop it is given, its destructor too. What it borrows must outlive it, and `loop`
// must outlive what `executor` still runs.
class ConfigWatcher {
 public:
  struct Options {
    Roots roots;
    std::string nodename;
    std::map<std::string, std::string> environment;
    Duration period = std::chrono::milliseconds(500);
    std::function<FileStamp(const std::string&)> stat = StampOf;  // THREAD: the executor's.
  };
  // OK and the new configuration, also when only a timestamp changed; or what is wrong with the
  // files and the last good configuration, which stays in force. A fault that stays is reported
  // once.
  using Callback = std::function<void(const absl::Status&, std::shared_ptr<const LoadedConfig>)>;

  ConfigWatcher(Options options, Loop* loop, Executor* executor);
  ~ConfigWatcher();  // Stop().
  ConfigWatcher(const ConfigWatcher&) = delete;
  ConfigWatcher& operator=(const ConfigWatcher&) = delete;

  // `in_force` is what the caller has loaded. A change made since then is reported after one
  // period.
  void Start(std::shared_ptr<const LoadedConfig> in_force, Callback callback);
  // No callback comes after this. Idempotent.
  void Stop();

 private:
  struct Shared;
  struct Look;
  static void Tick(const std::shared_ptr<Shared>& shared);
  static void Arm(const std::shared_ptr<Shared>& shared);
  static Look LookNow(const Options& options, const Look& previous);
  static void Report(const std::shared_ptr<Shared>& shared, Look look);

  std::shared_ptr<Shared> shared_;
};

}  // namespace om

#endif  // OM_SERVER_CONFIG_WATCHER_H_
