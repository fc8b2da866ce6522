// Reads and changes configuration files: checked, revision-checked, atomic, comments kept.
#ifndef OM_SERVER_CONFIG_STORE_H_
#define OM_SERVER_CONFIG_STORE_H_

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/base/clock.h"
#include "server/config/document.h"
#include "server/config/object_path.h"
#include "server/config/paths.h"
#include "server/config/settings.h"

namespace om {

// Which file: node.conf, cluster.conf, or an object's.
class ConfigTarget {
 public:
  static ConfigTarget Node() { return ConfigTarget(Kind::kNode, ObjectPath()); }
  static ConfigTarget Cluster() { return ConfigTarget(Kind::kCluster, ObjectPath()); }
  // The ccfg object "cluster" is cluster.conf.
  static ConfigTarget Object(ObjectPath path);

  bool is_object() const { return kind_ == Kind::kObject; }
  bool is_cluster() const { return kind_ == Kind::kCluster; }
  const ObjectPath& path() const { return path_; }
  std::string File(const Roots& roots) const;

 private:
  enum class Kind { kNode, kCluster, kObject };
  ConfigTarget(Kind kind, ObjectPath path) : kind_(kind), path_(std::move(path)) {}
  Kind kind_;
  ObjectPath path_;
};

struct StoredConfig {
  std::string file;
  std::string text;
  absl::Time mtime;
  std::string revision;  // Lower-case hex SHA-256 of `text`.
};

// One change. `param` is `<section>.<key>[@<scope>]`, or `<key>[@<scope>]` for DEFAULT of an
// object: "listener.port", "hb#1.addr@n1", "app#1.start". The section ends at the first dot
// (sections never hold one, node names and keys may).
struct ConfigEdit {
  std::string param;
  std::optional<std::string> value;  // nullopt: unset.

  static ConfigEdit Set(std::string param, std::string value) {
    return {std::move(param), std::move(value)};
  }
  static ConfigEdit Unset(std::string param) { return {std::move(param), std::nullopt}; }
};

struct EditResult {
  StoredConfig config;  // As it is now.
  bool changed = false;
  std::vector<std::string> warnings;
};

// What adding or removing a member came to.
struct MembersEdit {
  bool was_member = false;                  // Before.
  NodeDocuments documents;                  // As they are now.
  std::optional<absl::Time> cluster_mtime;  // Of cluster.conf as it is now; unset: there is none.
};

// A configuration to be written for the first time.
struct NewConfig {
  ObjectPath path;
  Document document;
};

// {section, key} of a param; INVALID_ARGUMENT with field = the param. Keys are lower-cased, node
// names with them.
absl::StatusOr<std::pair<std::string, std::string>> SplitParam(absl::string_view param,
                                                               bool is_object);

// Lower-case hex SHA-256: what revisions are.
std::string RevisionOf(absl::string_view text);
// Lower-case hex MD5: `csum` in legacy status documents.
std::string LegacyChecksumOf(absl::string_view text);

// Stateless but for its options: what it says is what is on disk. Blocks on disk and on other
// editors' lock: not for the core loop. THREAD: any.
class ConfigStore {
 public:
  static constexpr size_t kMaxFileBytes = size_t{1} << 20;
  static constexpr size_t kMaxEdits = 1000;
  static constexpr size_t kMaxMembers = 1000;
  // For the lock between processes: longer than any edit takes, shorter than a caller's patience.
  static constexpr Duration kLockPatience = std::chrono::seconds(5);

  // With `nodename`, the local node's, a change is also refused if what would be loaded from the
  // files here then fails where it did not before: a secret too short to be a key, a parent that is
  // no path.
  explicit ConfigStore(Roots roots, std::string nodename = "")
      : roots_(std::move(roots)), nodename_(std::move(nodename)) {}

  // NOT_FOUND if there is no such file.
  absl::StatusOr<StoredConfig> Read(const ConfigTarget& target) const;

  // Makes all changes, or none. A missing node.conf or cluster.conf is created, mode 0600; a
  // missing object file is NOT_FOUND. `expected_revision`, unless empty, must be that of the text
  // on disk, else ABORTED with reason REVISION_MISMATCH. A changed keyword that does not pass the
  // keyword table is INVALID_ARGUMENT with field = the param; faults that the file already had do
  // not stand in the way. Serialised with all editors of this installation by a flock. `judge`, if
  // given, is asked whether the change may be made, under that lock and before anything else is
  // said of it: its error is the answer.
  using EditJudge = std::function<absl::Status(const Document& before, const Document& after)>;
  absl::StatusOr<EditResult> Edit(const ConfigTarget& target, const std::vector<ConfigEdit>& edits,
                                  absl::string_view expected_revision = "",
                                  const EditJudge& judge = nullptr) const;

  // Has `node`, a checked name in lower case, in cluster.nodes, or no longer in it. The files are
  // read under the lock that all editors take, so of two changes at once none is lost. A node that
  // joins is appended to the list that is in force: of node.conf if there is one, else of
  // cluster.conf. One that leaves is taken out of it, and what is left is written to cluster.conf
  // only. Comments stay. Nothing is written if nothing changes. UNAVAILABLE, reason CONFIG_LOCKED,
  // if the lock cannot be had within `patience`; RESOURCE_EXHAUSTED above kMaxMembers.
  absl::StatusOr<MembersEdit> SetMember(const std::string& node, bool member,
                                        Duration patience = kLockPatience) const;

  // Writes configurations of objects, mode 0600: all of them, or none. Everything is checked before
  // anything is written, and what was written is taken back if a later one cannot be; only a crash
  // between two files can leave some. Returns what is doubtful in them. ALREADY_EXISTS, reason
  // OBJECT_EXISTS, for one that has a configuration, unless `replace`; INVALID_ARGUMENT, naming the
  // object and with field `objects[<index>].<param>`, for one that has faults or cannot be loaded
  // on this node, that is given twice, or that is the cluster's own. `judge`, if given, is asked
  // first, under the lock, with what is there now in the order of `configs` (nullopt: nothing);
  // its error is the answer. It may return configurations that are to be written in the same step,
  // over those that are there.
  using CreateJudge = std::function<absl::StatusOr<std::vector<NewConfig>>(
      const std::vector<std::optional<Document>>& before)>;
  absl::StatusOr<std::vector<std::string>> Create(const std::vector<NewConfig>& configs,
                                                  bool replace,
                                                  const CreateJudge& judge = nullptr) const;

 private:
  absl::Status CheckEdited(const ConfigTarget& target, const Document& before,
                           const Document& after, const std::vector<ConfigEdit>& edits,
                           std::vector<std::string>* warnings) const;
  // What loading gives with `document` in the place of the target's file.
  absl::Status LoadWith(const ConfigTarget& target, const Document& document) const;

  const Roots roots_;
  const std::string nodename_;
};

}  // namespace om

#endif  // OM_SERVER_CONFIG_STORE_H_
