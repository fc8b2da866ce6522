#include "client/omctl/render_action.h"

#include <string.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/errors.h"
#include "client/omctl/table.h"

namespace om {

using namespace om::control::v1;  // NOLINT: most names here are messages.

namespace {

std::string SignalText(int signal) {
  const char* name = sigabbrev_np(signal);
  return name == nullptr ? absl::StrCat("signal ", signal) : absl::StrCat("SIG", name);
}

Cell StateCell(const Action& action) {
  switch (action.state()) {
    case ACTION_STATE_RUNNING:
      return {ActionStateText(action)};
    case ACTION_STATE_EXITED:
      return {ActionStateText(action), action.exit_code() == 0 ? Colour::kGood : Colour::kBad};
    default:
      return {ActionStateText(action), Colour::kBad};
  }
}

std::string Took(const Action& action) {
  if (!action.has_end_time()) return "in progress";
  const double seconds =
      absl::ToDoubleSeconds(ToTime(action.end_time()) - ToTime(action.start_time()));
  return absl::StrFormat("%.1f s", seconds < 0 ? 0 : seconds);
}

}  // namespace

std::string ActionStateText(const Action& action) {
  switch (action.state()) {
    case ACTION_STATE_RUNNING:
      return "running";
    case ACTION_STATE_EXITED:
      return absl::StrCat("exited ", action.exit_code());
    case ACTION_STATE_KILLED:
      return absl::StrCat("killed by ", SignalText(action.signal()));
    case ACTION_STATE_TIMED_OUT:
      return "timed out";
    case ACTION_STATE_NOT_RUN:
      return "not run";
    default:
      return "-";
  }
}

std::string RenderActions(const google::protobuf::RepeatedPtrField<Action>& actions,
                          const RenderOptions& options) {
  if (actions.empty()) return "No action is known.\n";
  TextTable table;
  table.AddRow({Cell("Action", Colour::kBold), Cell("of", Colour::kDim),
                Cell("command", Colour::kDim), Cell("state", Colour::kDim),
                Cell("begun", Colour::kDim), Cell("took", Colour::kDim), Cell("on", Colour::kDim)});
  for (const Action& action : actions) {
    table.AddRow({action.id(), action.path().empty() ? "node" : action.path(),
                  absl::StrJoin(action.arguments(), " "), StateCell(action),
                  TimeText(action.start_time(), options), Took(action), action.node()});
  }
  return table.Render(options.colour);
}

std::string RenderAction(const Action& action, const RenderOptions& options) {
  TextTable table;
  table.AddRow({Cell("Action", Colour::kBold), action.id()});
  table.AddRow({" of", action.path().empty() ? "node" : action.path()});
  table.AddRow({" command", absl::StrJoin(action.arguments(), " ")});
  table.AddRow({" state", StateCell(action)});
  if (!action.error().empty()) table.AddRow({" why", action.error()});
  table.AddRow(
      {" begun", absl::StrCat(TimeText(action.start_time(), options), " on ", action.node(),
                              action.pid() == 0 ? "" : absl::StrCat(", pid ", action.pid()))});
  if (action.has_end_time()) {
    table.AddRow(
        {" ended", absl::StrCat(TimeText(action.end_time(), options), ", took ", Took(action))});
  }
  if (!action.requester().empty()) table.AddRow({" asked by", action.requester()});
  table.AddRow({" output", absl::StrCat(action.stdout_bytes(), " bytes, ", action.stderr_bytes(),
                                        " of errors")});
  if (!action.has_end_time()) {
    table.AddRow({" shown to", absl::StrCat(action.reader_count(),
                                            action.reader_count() == 1 ? " reader" : " readers",
                                            action.detached() ? ", goes on without" : "")});
  }
  return table.Render(options.colour);
}

std::string RenderEvent(const Event& event, const RenderOptions& options) {
  return absl::StrCat(Paint(TimeText(event.time(), options), Colour::kDim, options.colour), "  ",
                      Printable(EventSummary(event)), "\n");
}

}  // namespace om
