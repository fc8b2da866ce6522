// The users of the cluster: what the objects `system/usr/<name>` grant to whom.
#ifndef OM_SERVER_SERVICE_USER_DIRECTORY_H_
#define OM_SERVER_SERVICE_USER_DIRECTORY_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/auth/grants.h"
#include "server/base/mutex.h"
#include "server/config/paths.h"
#include "server/config/watcher.h"

namespace om {

// A user as far as his file says it.
struct UserFacts {
  std::string name;  // Of the object.
  std::string id;    // Of the object; empty: the file has none.
  std::string cn;    // What his certificates are called: `name` unless the file says otherwise.
  Grants grants;     // None if the file cannot be used.
};

// Keeps the users in memory. THREAD: any; only Refresh() blocks.
class UserDirectory {
 public:
  static constexpr size_t kMaxUsers = 10'000;

  explicit UserDirectory(const Roots& roots);

  // Looks at the files again; those that have not changed cost a stat. A file that cannot be used
  // gives a user who holds nothing, and one of Problems(). Blocks.
  void Refresh() EXCLUDES(refresh_, mutex_);

  // The user of that name, or whose certificates carry it. NOT_FOUND, reason USER_UNKNOWN.
  absl::StatusOr<UserFacts> Find(absl::string_view name) const EXCLUDES(mutex_);
  absl::StatusOr<UserFacts> FindByCertificateName(absl::string_view cn) const EXCLUDES(mutex_);

  // What is wrong with users' files, a text each, for the status.
  std::vector<std::string> Problems() const EXCLUDES(mutex_);

 private:
  struct Entry {
    FileStamp stamp;
    UserFacts facts;
    std::string problem;
  };
  struct Table {
    std::map<std::string, Entry, std::less<>> by_name;
    std::map<std::string, std::string, std::less<>> by_cn;  // Certificate name to user.
    std::string problem;                                    // With the folder as a whole.
  };
  static Entry Load(const std::string& name, const std::string& path, const FileStamp& stamp);
  std::shared_ptr<const Table> table() const EXCLUDES(mutex_);

  const std::string dir_;
  Mutex refresh_;  // One at a time looks at the files. Taken before `mutex_`.
  mutable Mutex mutex_;
  std::shared_ptr<const Table> table_ GUARDED_BY(mutex_) = std::make_shared<const Table>();
};

}  // namespace om

#endif  // OM_SERVER_SERVICE_USER_DIRECTORY_H_
