// Writing configurations of new objects, all or none.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/config/file_lock.h"
#include "server/config/keywords.h"
#include "server/config/store.h"

namespace om {
namespace {

// Puts files in their places together, and takes that back unless it is told that all is well. No
// name of it ends in .conf, so nobody takes what a crash leaves behind for a configuration.
class FileSwap {
 public:
  FileSwap() = default;
  FileSwap(const FileSwap&) = delete;
  FileSwap& operator=(const FileSwap&) = delete;
  ~FileSwap() {
    for (const Entry& entry : entries_) {
      unlink(entry.fresh.c_str());
      if (!entry.placed) {
        // Nothing was done yet.
      } else if (entry.had_old) {
        rename(entry.old.c_str(), entry.file.c_str());
      } else {
        unlink(entry.file.c_str());
      }
      if (entry.had_old) unlink(entry.old.c_str());
    }
  }

  // Writes the text beside `file`.
  absl::Status Prepare(const std::string& file, absl::string_view text) {
    entries_.push_back({file, file + ".created", file + ".replaced", false, false});
    return WriteFileAtomically(entries_.back().fresh, text, WriteOptions());
  }
  absl::Status Place() {
    for (Entry& entry : entries_) {
      unlink(entry.old.c_str());  // Left by a crash.
      entry.had_old = link(entry.file.c_str(), entry.old.c_str()) == 0;
      if (!entry.had_old && errno != ENOENT) {
        return ErrnoStatus(errno, absl::StrCat("keeping ", entry.file));
      }
      if (rename(entry.fresh.c_str(), entry.file.c_str()) != 0) {
        return ErrnoStatus(errno, absl::StrCat("writing ", entry.file));
      }
      entry.placed = true;
    }
    // Their names, too, survive a power loss.
    std::set<std::string> directories;
    for (const Entry& entry : entries_) {
      directories.insert(entry.file.substr(0, entry.file.rfind('/')));
    }
    for (const std::string& directory : directories) {
      const UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (fd.valid()) fsync(fd.get());
    }
    return absl::OkStatus();
  }
  void Keep() {
    for (Entry& entry : entries_) entry.placed = false;
  }

 private:
  struct Entry {
    std::string file;
    std::string fresh;
    std::string old;
    bool had_old;
    bool placed;
  };
  std::vector<Entry> entries_;
};

}  // namespace

absl::StatusOr<std::vector<std::string>> ConfigStore::Create(const std::vector<NewConfig>& configs,
                                                             bool replace,
                                                             const CreateJudge& judge) const {
  ASSIGN_OR_RETURN(const FileLock lock, FileLock::Acquire(roots_.ConfigLock(), kLockPatience));
  std::vector<NewConfig> further;
  if (judge != nullptr) {
    std::vector<std::optional<Document>> before;
    for (const NewConfig& config : configs) {
      before.emplace_back();
      const absl::StatusOr<StoredConfig> stored = Read(ConfigTarget::Object(config.path));
      if (absl::IsNotFound(stored.status())) continue;
      RETURN_IF_ERROR(stored.status());
      absl::StatusOr<Document> document = Document::Parse(stored->text, stored->file);
      // What is no configuration says nothing that would have to be kept.
      before.back() = document.ok() ? *std::move(document) : Document(stored->file);
    }
    ASSIGN_OR_RETURN(further, judge(before));
  }
  std::vector<std::string> warnings;
  std::vector<std::string> existing;
  std::set<ObjectPath> seen;
  FileSwap swap;
  std::vector<std::string> texts;
  for (size_t i = 0; i < configs.size(); ++i) {
    const ObjectPath& path = configs[i].path;
    const auto refused = [&](const absl::Status& status, absl::string_view param) {
      return WithField(Annotate(status, absl::StrCat("object ", path.ToString())),
                       absl::StrCat("objects[", i, "].", param));
    };
    if (path.kind() == "ccfg") {
      return refused(absl::InvalidArgumentError("the cluster's configuration cannot be created"),
                     "path");
    }
    if (!seen.insert(path).second) {
      return refused(absl::InvalidArgumentError("is there twice"), "path");
    }
    const std::string file = path.ConfigFile(roots_);
    if (ModificationTime(file).ok()) existing.push_back(path.ToString());
    texts.push_back(configs[i].document.Text());
    // Read anew: lines in messages, and limits, are those of the file to be.
    const absl::StatusOr<Document> document = Document::Parse(texts.back(), file);
    if (!document.ok()) return refused(document.status(), "keywords");
    for (const ConfigProblem& problem : CheckDocument(KeywordFile::kObject, *document)) {
      if (!problem.warning) return refused(problem.ToStatus(), problem.param);
      warnings.push_back(absl::StrCat(path.ToString(), ": ", problem.ToString()));
    }
    if (nodename_.empty()) continue;
    const absl::Status loaded = LoadWith(ConfigTarget::Object(path), *document);
    if (!loaded.ok())
      return refused(loaded, FieldOf(loaded).empty() ? "keywords" : FieldOf(loaded));
  }
  if (!replace && !existing.empty()) {
    return WithReason(absl::AlreadyExistsError(absl::StrCat("objects that exist already: ",
                                                            absl::StrJoin(existing, ", "))),
                      "OBJECT_EXISTS");
  }
  for (size_t i = 0; i < configs.size(); ++i) {
    RETURN_IF_ERROR(swap.Prepare(configs[i].path.ConfigFile(roots_), texts[i]));
  }
  for (const NewConfig& config : further) {
    RETURN_IF_ERROR(swap.Prepare(config.path.ConfigFile(roots_), config.document.Text()));
  }
  RETURN_IF_ERROR(swap.Place());
  swap.Keep();
  return warnings;
}

}  // namespace om
