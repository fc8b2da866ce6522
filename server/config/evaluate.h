// What a keyword is worth on a node: scopes, inheritance, references.
#ifndef OM_SERVER_CONFIG_EVALUATE_H_
#define OM_SERVER_CONFIG_EVALUATE_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/config/document.h"
#include "server/config/object_path.h"
#include "server/config/paths.h"

namespace om {

// Facts about the cluster that configurations refer to.
struct ClusterFacts {
  std::string name;
  std::string id;
  std::vector<std::string> nodes;
  std::vector<std::string> drpnodes;
  // Node to its labels, for node selectors; nodes without labels may be left out.
  std::map<std::string, std::map<std::string, std::string>> labels;
};

// Where and for whom a configuration is read. Plain data.
struct EvaluationContext {
  // The local node, lower-cased; another node's name to evaluate as that node would.
  std::string nodename;
  Roots roots;
  std::optional<ObjectPath> path;  // The object; unset for node.conf and cluster.conf.
  ClusterFacts cluster;
  // Environment variables that `{env.<key>}` sees before the section [env].
  std::map<std::string, std::string> environment;
  // [node] keywords for `{node.<key>}` in object files.
  std::map<std::string, std::string> node_keywords;
};

// Which sections a resource's keyword is looked up in.
enum class Inheritance { kLeafThenHead, kLeaf, kHead, kHeadThenLeaf };

// A keyword's text after evaluation, and where it came from.
struct EvaluatedValue {
  std::string text;
  std::string file;
  std::string section;
  std::string key;  // With the scope that applied.
  int line = 0;

  // `<file>:<line>: <section>.<key>`, for messages.
  std::string Where() const;
};

// Evaluates keywords of one configuration. Borrows the documents and owns nothing that changes; an
// instance costs nothing to make. THREAD: any.
//
// Work is bounded: 32 references deep, 1000 references and 64 KiB a value; beyond it, or in a loop
// of references, or for an expression `$(...)` that makes no sense, INVALID_ARGUMENT. It names
// file, line and keyword.
class Evaluator {
 public:
  static constexpr int kMaxDepth = 32;
  static constexpr int kMaxReferences = 1000;
  static constexpr size_t kMaxValueBytes = size_t{64} << 10;

  // `documents` in falling precedence: {node.conf, cluster.conf}, or {object file}. Not owned, as
  // is `context`; both must outlive this.
  Evaluator(std::vector<const Document*> documents, const EvaluationContext* context)
      : documents_(std::move(documents)), context_(context) {}

  // The value that scoping chooses, references resolved. nullopt if the keyword is not set, or
  // refers to something that is not known (yet).
  absl::StatusOr<std::optional<EvaluatedValue>> Get(
      absl::string_view section, absl::string_view key, bool scopable = true,
      Inheritance inheritance = Inheritance::kLeaf) const;

  // The value that scoping chooses, as it is written.
  std::optional<EvaluatedValue> GetRaw(absl::string_view section, absl::string_view key,
                                       bool scopable = true,
                                       Inheritance inheritance = Inheritance::kLeaf) const;

  // Resolves the references in `text` as if it stood in `section`. nullopt: one is not known.
  absl::StatusOr<std::optional<std::string>> Expand(absl::string_view text,
                                                    absl::string_view section) const;

  // Nodes of the object (`nodes`, `drpnodes`, `encapnodes`; for the node files the cluster's) as
  // evaluated here; empty if there are none or they cannot be evaluated.
  std::vector<std::string> NodesOf(absl::string_view keyword) const;

 private:
  struct State;  // Of one top-level evaluation: depth, budget, what is being evaluated.

  std::optional<EvaluatedValue> Lookup(State* state, absl::string_view section,
                                       absl::string_view key, bool scopable,
                                       Inheritance inheritance) const;
  std::optional<EvaluatedValue> LookupIn(State* state, absl::string_view section,
                                         absl::string_view key, bool scopable) const;
  std::vector<std::string> ScopeNodes(State* state, absl::string_view keyword) const;
  bool ScopeApplies(State* state, absl::string_view scope) const;
  absl::StatusOr<std::optional<EvaluatedValue>> Evaluate(State* state, absl::string_view section,
                                                         absl::string_view key, bool scopable,
                                                         Inheritance inheritance) const;
  absl::StatusOr<std::optional<std::string>> ExpandText(State* state, std::string text,
                                                        absl::string_view section,
                                                        absl::string_view where) const;
  absl::StatusOr<std::optional<std::string>> Reference(State* state, absl::string_view reference,
                                                       absl::string_view section) const;
  absl::StatusOr<std::optional<std::string>> PlainReference(State* state, const std::string& name,
                                                            absl::string_view section) const;

  std::vector<const Document*> documents_;
  const EvaluationContext* context_;  // Not owned.
};

}  // namespace om

#endif  // OM_SERVER_CONFIG_EVALUATE_H_
