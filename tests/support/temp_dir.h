// A directory of its own for one test, removed with what is in it.
#ifndef OM_TESTS_SUPPORT_TEMP_DIR_H_
#define OM_TESTS_SUPPORT_TEMP_DIR_H_

#include <string>

#include "absl/strings/string_view.h"

namespace om {

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  // Path of `name` below the directory.
  std::string File(absl::string_view name) const;
  // Writes a file below the directory, parents included, and returns its path.
  std::string Write(absl::string_view name, absl::string_view text) const;
  std::string Read(absl::string_view name) const;

 private:
  std::string path_;
};

}  // namespace om

#endif  // OM_TESTS_SUPPORT_TEMP_DIR_H_
