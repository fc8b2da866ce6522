#include "server/service/blacklist_api.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "glog/logging.h"
#include "server/service/paging.h"

namespace om {
namespace {

namespace pb = control::v1;

constexpr PageSizes kBlacklistPages = {1000, 10'000};

}  // namespace

absl::StatusOr<pb::ListEntriesResponse> BlacklistApi::ListEntries(
    const Caller& caller, const pb::ListEntriesRequest& request) {
  RETURN_IF_ERROR(Admit(*context_, caller, "om.control.v1.BlacklistService/ListEntries"));
  const std::vector<Blacklist::Entry> entries = context_->blacklist->Entries();
  uint32_t begin = 0;
  // A page that starts past the end, because entries were cleared meanwhile, is empty.
  if (!request.page_token().empty() && !absl::SimpleAtoi(request.page_token(), &begin)) {
    return BadPageToken();
  }
  ASSIGN_OR_RETURN(const size_t size, PageSizeOf(request.page_size(), kBlacklistPages));
  const size_t end = std::min(entries.size(), begin + size);
  pb::ListEntriesResponse response;
  for (size_t i = begin; i < end; ++i) {
    pb::BlacklistEntry& out = *response.add_entries();
    out.set_address(entries[i].key.ToString());
    if (!entries[i].key.is_network()) {
      out.set_node(context_->node_names->NodeOf(entries[i].key.address()).value_or(""));
    }
    out.set_invalid_count(entries[i].count);
    out.set_blacklisted(entries[i].blacklisted);
  }
  if (end < entries.size()) response.set_next_page_token(absl::StrCat(end));
  return response;
}

void BlacklistApi::ClearEntries(const Caller& caller, const pb::ClearEntriesRequest& request,
                                Reply<pb::ClearEntriesResponse> reply) {
  constexpr char operation[] = "om.control.v1.BlacklistService/ClearEntries";
  if (!BeginChange(*context_, caller, operation, {request.sender(), request.request_id(), {}},
                   &reply))
    return;
  DoOnce<pb::ClearEntriesResponse>(
      *context_, KeyOf(caller, operation, request),
      [this, sender = request.sender()](const Reply<pb::ClearEntriesResponse>& done) {
        done(Clear(sender));
      },
      std::move(reply));
}

absl::StatusOr<pb::ClearEntriesResponse> BlacklistApi::Clear(const std::string& sender) {
  size_t cleared = 0;
  if (sender.empty()) {
    cleared = context_->blacklist->size();
    context_->blacklist->Clear();
  } else {
    // By what the list shows: an address, a network, or a node's name, which may have several.
    const std::string text(absl::StripSuffix(sender, "/64"));
    absl::StatusOr<PeerAddress> address = PeerAddress::Parse(text);
    bool known = address.ok();
    for (const Blacklist::Entry& entry : context_->blacklist->Entries()) {
      const bool by_address =
          address.ok() && (entry.key.address() == *address ||
                           entry.key == AdmissionKey(*address, /*is_cluster_node=*/false));
      const bool by_name =
          !entry.key.is_network() && context_->node_names->NodeOf(entry.key.address()) == sender;
      if (!by_address && !by_name) continue;
      known = true;
      context_->blacklist->Clear(entry.key);
      ++cleared;
    }
    const std::vector<std::string> nodes = context_->settings->get()->cluster_nodes;
    known = known || std::find(nodes.begin(), nodes.end(), sender) != nodes.end();
    if (!known) {
      return WithField(absl::InvalidArgumentError(absl::StrCat(
                           "sender is \"", sender, "\"; expected an address or a node name")),
                       "sender");
    }
  }
  if (cleared > 0) {
    LOG(INFO) << "blacklist cleared: " << (sender.empty() ? "all" : sender) << ", " << cleared
              << " entries";
  }
  Event event;
  event.id = "blacklist_clear";
  if (!sender.empty()) event.data["sender"] = sender;
  event.data["count"] = cleared;
  context_->core->EmitEvent(std::move(event));
  pb::ClearEntriesResponse response;
  response.set_cleared_count(static_cast<int32_t>(cleared));
  return response;
}

}  // namespace om
