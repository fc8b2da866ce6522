// Actions and events as text for people.
#ifndef OM_CLIENT_OMCTL_RENDER_ACTION_H_
#define OM_CLIENT_OMCTL_RENDER_ACTION_H_

#include <string>

#include "client/omctl/render.h"
#include "om/control/v1/action.pb.h"
#include "om/control/v1/common.pb.h"

namespace om {

// `running`, `exited 3`, `killed by SIGTERM` ...
std::string ActionStateText(const control::v1::Action& action);

// A table in the order given.
std::string RenderActions(const google::protobuf::RepeatedPtrField<control::v1::Action>& actions,
                          const RenderOptions& options);

std::string RenderAction(const control::v1::Action& action, const RenderOptions& options);

// One line: when, what, where, about what.
std::string RenderEvent(const control::v1::Event& event, const RenderOptions& options);

}  // namespace om

#endif  // OM_CLIENT_OMCTL_RENDER_ACTION_H_
