#include "compat/wire/reply.h"

namespace om {

Json ErrorReply(absl::string_view error, int64_t status) {
  Json reply = Json::object();
  reply["error"] = std::string(error);
  reply["status"] = status;
  return reply;
}

std::string ReplyText(const Json& reply) { return DumpJson(reply); }

std::string ClearReply(std::string text) {
  text.push_back('\0');
  return text;
}

}  // namespace om
