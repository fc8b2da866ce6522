// Replays what a legacy cluster was recorded doing, and asks control at each step what it would do.
#ifndef OM_TESTS_SERVER_CONTROL_TRACE_REPLAY_H_
#define OM_TESTS_SERVER_CONTROL_TRACE_REPLAY_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "server/base/json.h"
#include "server/control/decide.h"
#include "server/state/state_store.h"
#include "tests/support/fake_clock.h"

namespace om {

// What was done to one object, or, without object, to the node, in words: "status starting",
// "run start", "freeze", "local started", "order ends", "event instance_start from_ready".
using Words = std::set<std::string>;

// Parts of a recording. "None" and "none" are how the recordings write that something is unset.
std::string TraceText(const Json& value);
std::string TraceTextAt(const Json& entry, const char* key);
// What both sides' actions are called.
std::string OrNone(const std::string& word);
std::string RunWord(const std::vector<std::string>& command);
std::string EventWord(const std::string& id, const std::string& reason);

struct Divergence {
  double time = 0;  // Seconds, as in the trace.
  std::string node;
  std::string object;  // Empty: the node.
  Words legacy;
  Words ours;
};

// The truth is what was recorded: both nodes' states follow the entries, never our decisions. Every
// step that the legacy monitor took is compared with what control wants in the state before it, and
// every wish of control that the legacy monitor did not carry out within three seconds is one, too.
//
// A peer's data are seen at once, unless the peer was lost. When a status evaluation happened is
// not recorded: the effect of a command may come up to 1.5 s before its end, if that explains a
// step.
class TraceReplay {
 public:
  // `entries` as recorded; `nodes` as in a status document: the state before; `facts` are things
  // that the recording leaves out, some at a time `t`: see tests/golden/behaviour/README.md.
  TraceReplay(const Json& nodes, const Json& facts, const Json& entries);

  std::vector<Divergence> Run();
  // Steps that were compared.
  int compared() const { return compared_; }

 private:
  using Key = std::pair<std::string, std::string>;  // Node and object.
  static const std::vector<std::string> kNodes;     // Of every recording.

  struct Step {
    enum class Kind { kFact, kPass, kOutcome };
    Kind kind = Kind::kFact;
    double time = 0;
    double last_time = 0;
    std::string node;
    std::string object;
    Words words;
    std::vector<Json> entries;
    std::vector<std::string> command;  // An outcome's: verb and options.
  };
  struct Wish {
    double time = 0;
    Words words;
  };

  void BuildSteps(const Json& entries, const Json& facts);
  // Appends to the open step of that key, or opens one.
  Step* StepFor(Step::Kind kind, const Json& entry, const std::string& object);
  void AddEntry(const Json& entry);
  void AddCommand(const Json& entry);
  void AddEvent(const Json& entry);

  void LoadNodes(const Json& nodes);
  void LoadInstance(StateStore* store, const Key& key, const Json& document);
  void LoadFirstWords();
  void Apply(const Step& step);
  void ApplyEntry(const Step& step, const Json& entry);
  void ApplyFact(const Json& fact);
  void ApplyEffect(const Key& key, const std::vector<std::string>& command,
                   const std::string& status);
  void ShowPeers(const std::string& node);
  void Edit(const Key& key, const std::function<void(InstanceState*)>& edit);
  void SetAvail(const Key& key, const std::string& avail);
  void EditNode(const std::string& node, const std::function<void(NodeState*)>& edit);

  View MakeView(const std::string& node);
  Words Wanted(const std::string& node, const std::string& object);
  Words WantedAfter(const Step& step);
  Words WithEffectsOf(size_t index);
  void Place();
  void Compare(size_t index);
  void NoteWishes(size_t next);
  void MoveTo(double time);

  std::vector<Step> steps_;
  std::map<Key, size_t> open_;                        // Last step of a key.
  std::map<Key, std::vector<std::string>> building_;  // Commands in flight, while building.
  std::map<Key, std::vector<std::string>> running_;   // The same, while replaying.
  std::map<Key, RunCrm> wanted_runs_;                 // The last that control asked for.
  std::set<std::string> objects_;                     // That the trace does something to.
  std::map<Key, Wish> wishes_;
  std::set<Key> told_;         // Wishes that were reported and are still there.
  std::set<size_t> accepted_;  // Steps that were compared together with the one before.
  std::vector<Divergence> divergences_;
  int compared_ = 0;

  FakeClock clock_;
  absl::Time zero_;
  std::map<std::string, std::unique_ptr<StateStore>> stores_;
  std::map<std::string, std::set<std::string>> lost_;  // Peers that a node has forgotten.
  std::set<std::string> stopped_;                      // Nodes without daemon.
  std::map<std::string, absl::Time> thread_start_;
  ControlSettings settings_;
};

}  // namespace om

#endif  // OM_TESTS_SERVER_CONTROL_TRACE_REPLAY_H_
