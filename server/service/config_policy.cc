#include "server/service/config_policy.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/base/status.h"
#include "server/config/keywords.h"
#include "server/config/value.h"

namespace om {
namespace {

constexpr char kHead[] = "DEFAULT";
// Bounds of the work: nodes that values are evaluated for, and values evaluated in all.
constexpr size_t kMaxNodes = 256;
constexpr int kMaxEvaluations = 50'000;

template <class List>
bool IsIn(const List& list, absl::string_view word) {
  return std::find(std::begin(list), std::end(list), word) != std::end(list);
}

// Sections whose keywords mean nothing to anyone but the owner.
bool IsFree(absl::string_view section) {
  return section == "env" || section == "data" || section == "labels";
}

// Groups of resources that others than root may have: of some, only with the types below.
constexpr absl::string_view kGroups[] = {
    "ip", "container", "task", "volume", "expose", "vhost", "route", "certificate", "hash_policy"};
constexpr absl::string_view kContainerTypes[] = {"docker", "podman"};
constexpr absl::string_view kAddressTypes[] = {"cni"};

// Keywords that every resource may have.
constexpr absl::string_view kCommonKeys[] = {"type",
                                             "disable",
                                             "optional",
                                             "standby",
                                             "always_on",
                                             "monitor",
                                             "restart",
                                             "restart_delay",
                                             "subset",
                                             "tags",
                                             "shared",
                                             "provision",
                                             "comment",
                                             "unprovision",
                                             "schedule",
                                             "timeout",
                                             "start_timeout",
                                             "stop_timeout",
                                             "start_requires",
                                             "stop_requires",
                                             "provision_requires",
                                             "unprovision_requires",
                                             "run_requires",
                                             "skip_provision",
                                             "skip_unprovision"};
constexpr absl::string_view kContainerKeys[] = {"image",
                                                "run_image",
                                                "image_pull_policy",
                                                "command",
                                                "run_command",
                                                "entrypoint",
                                                "hostname",
                                                "dns",
                                                "detach",
                                                "rm",
                                                "privileged",
                                                "interactive",
                                                "tty",
                                                "netns",
                                                "net",
                                                "pidns",
                                                "ipcns",
                                                "utsns",
                                                "userns",
                                                "volume_mounts",
                                                "devices",
                                                "environment",
                                                "configs_environment",
                                                "secrets_environment",
                                                "registry_creds",
                                                "pull_timeout",
                                                "shm_size",
                                                "cwd",
                                                "user",
                                                "init",
                                                "confirmation",
                                                "snooze",
                                                "retcodes",
                                                "log",
                                                "max_parallel"};
constexpr absl::string_view kAddressKeys[] = {"netns", "network",  "expose",
                                              "nspid", "wait_dns", "container_rid"};
// The synchronisation that every service has by itself: when, not what.
constexpr char kInternalSync[] = "sync#i0";
constexpr absl::string_view kInternalSyncKeys[] = {"schedule", "disable", "optional", "tags",
                                                   "comment"};
constexpr absl::string_view kNamespaceKeys[] = {"netns", "net",   "pidns",
                                                "ipcns", "utsns", "userns"};

// Keywords that name programs or commands of the host.
bool RunsOnHost(absl::string_view key) {
  for (const absl::string_view prefix : {"pre_", "post_", "blocking_"}) {
    if (absl::StartsWith(key, prefix)) return true;
  }
  for (const absl::string_view suffix : {"_exe", "_daemon_args", "run_args"}) {
    if (absl::EndsWith(key, suffix)) return true;
  }
  return absl::StrContains(key, "trigger") || key == "on_error";
}

bool IsTimeZoneFile(absl::string_view path) {
  return path == "/etc/localtime" || path == "/etc/timezone" ||
         absl::StartsWith(path, "/usr/share/zoneinfo/");
}

// Why a place is none that others than root may use: "" if it is one. It is to be in a volume of
// the service.
std::string PlaceFault(absl::string_view place) {
  const bool plain = std::all_of(place.begin(), place.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           absl::StrContains("-_.#/", absl::string_view(&c, 1));
  });
  if (!plain) return "a place in a volume, of letters, digits and -_.#/";
  for (const absl::string_view part : absl::StrSplit(place, '/')) {
    if (part == "..") return "a place without ..";
  }
  if (absl::StartsWith(place, "/") && !IsTimeZoneFile(place)) return "no path of the host";
  return "";
}

// Of the first field of each word: "<place>:<path in the container>[:<options>]".
std::string PlacesFault(absl::string_view text) {
  for (const absl::string_view word :
       absl::StrSplit(text, absl::ByAnyChar(" \t\r\n"), absl::SkipEmpty())) {
    std::string fault = PlaceFault(word.substr(0, word.find(':')));
    if (!fault.empty()) return fault;
  }
  return "";
}

class Judge {
 public:
  Judge(const Caller& caller, const ConfigProposal& proposal)
      : caller_(caller), proposal_(proposal) {}

  absl::Status Check() {
    const ObjectPath& path = proposal_.path;
    if (path.kind() == "vol" || path.kind() == "ccfg") {
      return Refused("", absl::StrCat("configurations of the kind ", path.kind(), " are root's"));
    }
    RETURN_IF_ERROR(CheckNamespace());
    RETURN_IF_ERROR(FindNodes());
    for (const std::string& section : proposal_.after->Sections()) {
      RETURN_IF_ERROR(CheckSection(section));
    }
    RETURN_IF_ERROR(CheckKept("cn", "the name on a user's certificate stays what it is"));
    if (!proposal_.is_creation) RETURN_IF_ERROR(CheckKept("id", "an object's id stays what it is"));
    if (caller_.HoldsEverywhere(Role::kPrioritizer)) return absl::OkStatus();
    return CheckKept("priority", "priorities are set by who holds prioritizer");
  }

 private:
  absl::Status Refused(absl::string_view param, absl::string_view why) const {
    absl::Status refused = WithReason(
        absl::PermissionDeniedError(absl::StrCat("object ", proposal_.path.ToString(), ": ", param,
                                                 param.empty() ? "" : ": ", why)),
        "CONFIG_NOT_ALLOWED");
    return param.empty() ? refused : WithField(std::move(refused), param);
  }

  absl::Status CheckNamespace() const {
    constexpr char what[] = "the configuration of an object";
    const std::string& ns = proposal_.path.ns();
    if (!proposal_.new_namespace) return RequireRole(caller_, what, Role::kAdmin, ns);
    return RequireRole(caller_, "the first object of a namespace",
                       ns == "system" ? Role::kRoot : Role::kSquatter, std::nullopt);
  }

  EvaluationContext ContextOf(const std::string& node) const {
    EvaluationContext context;
    context.nodename = node;
    context.roots = proposal_.roots;
    context.path = proposal_.path;
    context.cluster = proposal_.cluster;
    return context;
  }

  absl::Status FindNodes() {
    nodes_.insert(proposal_.cluster.nodes.begin(), proposal_.cluster.nodes.end());
    nodes_.insert(proposal_.cluster.drpnodes.begin(), proposal_.cluster.drpnodes.end());
    nodes_.insert(proposal_.local_node);
    for (const std::string& section : proposal_.after->Sections()) {
      for (const Document::Value& entry : proposal_.after->Entries(section)) {
        const absl::string_view scope = SplitScope(entry.key).second;
        if (!scope.empty()) nodes_.emplace(scope);
      }
    }
    const std::set<std::string> known = nodes_;
    if (known.size() > kMaxNodes) return TooMany("nodes", kMaxNodes);
    for (const std::string& node : known) {
      const EvaluationContext context = ContextOf(node);
      const Evaluator evaluator({proposal_.after}, &context);
      for (const char* keyword : {"nodes", "drpnodes", "encapnodes"}) {
        for (const std::string& named : evaluator.NodesOf(keyword)) nodes_.insert(named);
      }
      if (nodes_.size() > kMaxNodes) return TooMany("nodes", kMaxNodes);
    }
    return absl::OkStatus();
  }

  absl::Status TooMany(absl::string_view what, int64_t limit) const {
    return Refused("", absl::StrCat("more than ", limit, " ", what, " to judge it for"));
  }

  // What `text` is worth on each node; one value if it is the same on all.
  absl::StatusOr<std::set<std::string>> ValuesOf(const Document& document,
                                                 absl::string_view section,
                                                 const Document::Value& entry) {
    if (!absl::StrContains(entry.text, "{") && !absl::StrContains(entry.text, "$(")) {
      return std::set<std::string>{entry.text};
    }
    std::set<std::string> values;
    for (const std::string& node : nodes_) {
      if (++evaluations_ > kMaxEvaluations) return TooMany("values", kMaxEvaluations);
      const EvaluationContext context = ContextOf(node);
      const Evaluator evaluator({&document}, &context);
      const absl::StatusOr<std::optional<std::string>> value =
          evaluator.Expand(entry.text, section);
      if (!value.ok() || !value->has_value()) {
        return Refused(absl::StrCat(section, ".", entry.key),
                       absl::StrCat("expected references that are known here, found one that is "
                                    "not for the node ",
                                    node));
      }
      values.insert(**value);
    }
    return values;
  }

  // Says of an acceptable value "", of others what was expected.
  using Fault = std::function<std::string(absl::string_view)>;

  absl::Status CheckValue(absl::string_view section, const Document::Value& entry,
                          absl::string_view value, const Fault& fault) const {
    const std::string expected = fault(absl::StripAsciiWhitespace(value));
    if (expected.empty()) return absl::OkStatus();
    return Refused(absl::StrCat(section, ".", entry.key),
                   absl::StrCat("expected ", expected, " from who is not root, found \"",
                                absl::Utf8SafeCHexEscape(value.substr(0, 100)), "\""));
  }

  // Of all that an entry is worth somewhere.
  absl::Status CheckValues(absl::string_view section, const Document::Value& entry,
                           const Fault& fault) {
    ASSIGN_OR_RETURN(const std::set<std::string> values,
                     ValuesOf(*proposal_.after, section, entry));
    for (const std::string& value : values) {
      RETURN_IF_ERROR(CheckValue(section, entry, value, fault));
    }
    return absl::OkStatus();
  }

  absl::Status CheckSection(const std::string& section) {
    if (IsFree(section)) return absl::OkStatus();
    const size_t hash = section.find('#');
    const std::string group = section.substr(0, hash);
    const bool is_resource = section != kHead && group != "subset";
    if (is_resource && section != kInternalSync &&
        (hash == std::string::npos || !IsIn(kGroups, group))) {
      return Refused(section, "resources of this kind are root's");
    }
    const bool is_container = group == "container" || group == "task";
    for (const Document::Value& entry : proposal_.after->Entries(section)) {
      const std::string key(SplitScope(entry.key).first);
      bool known = true;
      if (section == kInternalSync) {
        known = IsIn(kInternalSyncKeys, key);
      } else if (is_container) {
        known = IsIn(kCommonKeys, key) || IsIn(kContainerKeys, key) || absl::StartsWith(key, "pg_");
      } else if (group == "ip") {
        known = IsIn(kCommonKeys, key) || IsIn(kAddressKeys, key);
      }
      if (!known || RunsOnHost(key)) {
        return Refused(absl::StrCat(section, ".", entry.key), "this keyword is root's");
      }
      RETURN_IF_ERROR(CheckKeyword(section, group, key, entry));
    }
    if (is_container) return CheckSet(section, "type", "docker or podman");
    if (group != "ip") return absl::OkStatus();
    RETURN_IF_ERROR(CheckSet(section, "type", "cni"));
    return CheckSet(section, "netns", "a container of the service");
  }

  // Its default would be something else.
  absl::Status CheckSet(const std::string& section, absl::string_view key,
                        absl::string_view expected) const {
    const Document::Value* value = proposal_.after->Find(section, key);
    if (value != nullptr) return absl::OkStatus();
    return Refused(absl::StrCat(section, ".", key),
                   absl::StrCat("expected ", expected,
                                " from who is not root, without a scope at least, found nothing"));
  }

  absl::Status CheckKeyword(const std::string& section, absl::string_view group,
                            const std::string& key, const Document::Value& entry) {
    using Text = absl::string_view;
    const bool is_container = group == "container" || group == "task";
    if (key == "type" && is_container) {
      return CheckValues(section, entry, [](Text value) {
        return IsIn(kContainerTypes, value) ? "" : std::string("docker or podman");
      });
    }
    if (key == "type" && group == "ip") {
      return CheckValues(section, entry, [](Text value) {
        return IsIn(kAddressTypes, value) ? "" : std::string("cni");
      });
    }
    if (IsIn(kNamespaceKeys, key)) {
      return CheckValues(section, entry, [&group](Text value) {
        const bool named = !value.empty() || group != "ip";
        const bool foreign = absl::EqualsIgnoreCase(value, "host") ||
                             absl::StrContains(value, ":") || absl::StrContains(value, "/");
        return named && !foreign ? "" : std::string("none, or a container of the service");
      });
    }
    if (key == "privileged") {
      return CheckValues(section, entry, [](Text value) {
        const absl::StatusOr<bool> privileged = ParseBoolean(value);
        return value.empty() || (privileged.ok() && !*privileged) ? "" : std::string("false");
      });
    }
    if (key == "volume_mounts" || key == "devices" || absl::EndsWith(key, "data_dir") ||
        absl::EndsWith(key, "_data_directory")) {
      return CheckValues(section, entry, PlacesFault);
    }
    if (group == "volume" || group == "certificate") {
      return CheckValues(section, entry, [](Text value) {
        return absl::StrContains(value, "..") ? std::string("places without ..") : "";
      });
    }
    if (key == "monitor_action") {
      return CheckValues(section, entry, [](Text value) {
        for (const Text word :
             absl::StrSplit(value, absl::ByAnyChar(" \t\n,"), absl::SkipEmpty())) {
          if (word != "freezestop" && word != "switch") return std::string("freezestop or switch");
        }
        return std::string();
      });
    }
    if (key == "grant") {
      const auto fault = [this](Text value) {
        const absl::StatusOr<Grants> grants = Grants::Parse(value);
        if (!grants.ok()) return std::string("a list of grants");
        return caller_.grants.Covers(*grants) ? "" : std::string("what the caller holds itself");
      };
      // Not every reader of users works out references: what is written counts as well.
      RETURN_IF_ERROR(CheckValue(section, entry, entry.text, fault));
      return CheckValues(section, entry, fault);
    }
    if (key == "slaves") {
      return CheckValues(section, entry, [this](Text value) {
        for (const std::string& name : ParseList(value)) {
          const absl::StatusOr<ObjectPath> slave =
              ObjectPath::ParseRelative(Text(name).substr(0, name.find('@')), proposal_.path.ns());
          // What is ordered for a service is ordered for its slaves.
          if (!slave.ok() ||
              (slave->ns() != proposal_.path.ns() && !caller_.Holds(Role::kAdmin, slave->ns()))) {
            return std::string("services of namespaces that the caller administers");
          }
        }
        return std::string();
      });
    }
    return absl::OkStatus();
  }

  // All that a document says of `key`, anywhere: by param, what is written and what it is worth on
  // the nodes.
  using Said = std::set<std::pair<std::string, std::set<std::string>>>;
  absl::StatusOr<Said> Saying(const Document* document, absl::string_view key) {
    Said said;
    if (document == nullptr) return said;
    for (const std::string& section : document->Sections()) {
      if (IsFree(section)) continue;
      for (const Document::Value& entry : document->Entries(section)) {
        if (SplitScope(entry.key).first != key) continue;
        ASSIGN_OR_RETURN(std::set<std::string> values, ValuesOf(*document, section, entry));
        values.insert(entry.text);
        said.emplace(absl::StrCat(section, ".", entry.key), std::move(values));
      }
    }
    return said;
  }

  absl::Status CheckKept(absl::string_view key, absl::string_view why) {
    ASSIGN_OR_RETURN(const Said before, Saying(proposal_.before, key));
    ASSIGN_OR_RETURN(const Said after, Saying(proposal_.after, key));
    if (before == after) return absl::OkStatus();
    return Refused(absl::StrCat(kHead, ".", key), why);
  }

  const Caller& caller_;
  const ConfigProposal& proposal_;
  std::set<std::string> nodes_;
  int evaluations_ = 0;
};

}  // namespace

absl::Status CheckConfigPolicy(const Caller& caller, const ConfigProposal& proposal) {
  if (caller.HoldsEverywhere(Role::kRoot)) return absl::OkStatus();
  return Judge(caller, proposal).Check();
}

}  // namespace om
