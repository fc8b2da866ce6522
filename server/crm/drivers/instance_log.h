// The log of one instance, in the form that the legacy agent writes.
#ifndef OM_SERVER_CRM_DRIVERS_INSTANCE_LOG_H_
#define OM_SERVER_CRM_DRIVERS_INSTANCE_LOG_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/base/file.h"

namespace om {

// Appends `YYYY-MM-DD HH:MM:SS,mmm - <node>.<name>[.<rid>] - LEVEL - text` lines, one write each,
// so that several processes can share the file. A log that cannot be written never fails an action.
// Confined to one thread.
class InstanceLog {
 public:
  enum class Level { kDebug, kInfo, kWarning, kError };
  static constexpr size_t kMaxLineBytes = 4096;

  // Opens `file` with its missing directories at the first line. `echo`: warnings and errors go to
  // standard error too, as a person or the daemon running the command expects.
  InstanceLog(std::string file, std::string node, std::string name, bool echo);

  // `rid` empty: about the instance. Each line of `text` is a line of the log; what is not
  // printable is replaced, what is longer than kMaxLineBytes is cut.
  void Write(absl::string_view rid, Level level, absl::string_view text);

 private:
  const std::string file_;
  const std::string node_;
  const std::string name_;
  const bool echo_;
  bool opened_ = false;
  UniqueFd fd_;
};

// `YYYY-MM-DD HH:MM:SS,mmm` in local time.
std::string LegacyLogTime(absl::Time time);

}  // namespace om

#endif  // OM_SERVER_CRM_DRIVERS_INSTANCE_LOG_H_
