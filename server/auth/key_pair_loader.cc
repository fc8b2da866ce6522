#include "server/auth/key_pair_loader.h"

#include <openssl/err.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "server/auth/x509.h"
#include "server/base/file.h"
#include "server/base/status.h"

namespace om {
namespace {

using StorePtr = std::unique_ptr<X509_STORE, OpensslFree<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, OpensslFree<X509_STORE_CTX_free>>;
struct FreeStack {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_free(stack); }
};

constexpr absl::string_view kGeneration = "generation-";

std::string Shown(absl::Time time) {
  return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone());
}

// Leads `chain`'s first to `authority` at `now`.
absl::Status VerifyChain(const std::vector<CertificatePtr>& chain, X509* authority, X509_CRL* crl,
                         const KeyPairPaths& names, absl::Time now) {
  const StorePtr store(X509_STORE_new());
  const StoreContextPtr context(X509_STORE_CTX_new());
  const std::unique_ptr<STACK_OF(X509), FreeStack> between(sk_X509_new_null());
  if (store == nullptr || context == nullptr || between == nullptr ||
      X509_STORE_add_cert(store.get(), authority) != 1 ||
      (crl != nullptr && X509_STORE_add_crl(store.get(), crl) != 1)) {
    return OpensslError("preparing to verify");
  }
  for (size_t i = 1; i < chain.size(); ++i) sk_X509_push(between.get(), chain[i].get());
  if (X509_STORE_CTX_init(context.get(), store.get(), chain.front().get(), between.get()) != 1) {
    return OpensslError("preparing to verify");
  }
  X509_VERIFY_PARAM* const param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(param, absl::ToTimeT(now));
  if (crl != nullptr) X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_CRL_CHECK);
  if (X509_verify_cert(context.get()) == 1) return absl::OkStatus();
  const int error = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  return absl::FailedPreconditionError(absl::StrCat(names.certificate, " is not good under ",
                                                    names.authority, " at ", Shown(now), ": ",
                                                    X509_verify_cert_error_string(error)));
}

std::vector<std::string> RevokedSerials(X509_CRL* crl) {
  std::vector<std::string> serials;
  STACK_OF(X509_REVOKED)* const rows = X509_CRL_get_REVOKED(crl);
  serials.reserve(static_cast<size_t>(std::max(0, sk_X509_REVOKED_num(rows))));
  for (int i = 0; i < sk_X509_REVOKED_num(rows); ++i) {
    serials.push_back(SerialText(X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(rows, i))));
  }
  std::sort(serials.begin(), serials.end());
  return serials;
}

// `crl` was signed by `authority` and is not out of date.
absl::StatusOr<RevocationList> CheckList(X509_CRL* crl, X509* authority, const KeyPairPaths& names,
                                         absl::Time now) {
  if (X509_CRL_verify(crl, X509_get0_pubkey(authority)) != 1) {
    ERR_clear_error();
    return absl::FailedPreconditionError(
        absl::StrCat(names.crl, " was not signed by ", names.authority));
  }
  RevocationList list;
  ASSIGN_OR_RETURN(list.expire_time, TimeOf(X509_CRL_get0_nextUpdate(crl)));
  if (now >= list.expire_time) {
    return absl::FailedPreconditionError(absl::StrCat(names.crl, " is out of date since ",
                                                      Shown(list.expire_time), "; make it again"));
  }
  list.revoked = RevokedSerials(crl);
  return list;
}

absl::StatusOr<std::string> ReadList(const std::string& path) {
  ASSIGN_OR_RETURN(FileContent crl, ReadFile(path, kMaxCrlBytes));
  // An emptied file must not turn revocation off.
  if (crl.text.empty()) return absl::InvalidArgumentError(absl::StrCat(path, " is empty"));
  return std::move(crl.text);
}

std::string GenerationName(uint64_t number) {
  return absl::StrCat(kGeneration, absl::Dec(number, absl::kZeroPad8));
}

// 0 for anything that is not the name of a generation.
uint64_t GenerationNumber(absl::string_view name) {
  uint64_t number = 0;
  if (!absl::ConsumePrefix(&name, kGeneration) || !absl::SimpleAtoi(name, &number)) return 0;
  return number;
}

}  // namespace

absl::StatusOr<CheckedPair> CheckPair(KeyPairContents contents, const KeyPairPaths& names,
                                      absl::Time now) {
  ASSIGN_OR_RETURN(const std::vector<CertificatePtr> chain,
                   ParseChainPem(contents.certificate_pem, names.certificate));
  ASSIGN_OR_RETURN(const KeyPtr key, ParseKeyPem(contents.key_pem, names.key));
  ASSIGN_OR_RETURN(const CertificatePtr authority,
                   ParseCertificatePem(contents.authority_pem, names.authority));
  CrlPtr crl;
  if (!contents.crl_pem.empty()) {
    ASSIGN_OR_RETURN(crl, ParseCrlPem(contents.crl_pem, names.crl));
  }
  if (X509_check_private_key(chain.front().get(), key.get()) != 1) {
    ERR_clear_error();
    return absl::FailedPreconditionError(
        absl::StrCat(names.key, " is not the key of ", names.certificate));
  }
  const absl::StatusOr<CertificateIdentity> identity = IdentityOf(chain.front().get());
  if (!identity.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat(names.certificate, ": ", identity.status().message()));
  }
  CheckedPair checked;
  checked.identity = *identity;
  ASSIGN_OR_RETURN(const absl::Time authority_end, TimeOf(X509_get0_notAfter(authority.get())));
  checked.expire_time = std::min(checked.identity.not_after, authority_end);
  if (now < checked.identity.not_before) {
    return absl::FailedPreconditionError(absl::StrCat(names.certificate, " is not yet valid at ",
                                                      Shown(now), ", only from ",
                                                      Shown(checked.identity.not_before)));
  }
  if (now >= checked.identity.not_after) {
    return absl::FailedPreconditionError(absl::StrCat(
        names.certificate, " expired at ", Shown(checked.identity.not_after), "; renew it"));
  }
  if (crl != nullptr) {
    ASSIGN_OR_RETURN(RevocationList list, CheckList(crl.get(), authority.get(), names, now));
    checked.expire_time = std::min(checked.expire_time, list.expire_time);
    checked.revoked = std::move(list.revoked);
  }
  RETURN_IF_ERROR(VerifyChain(chain, authority.get(), crl.get(), names, now));
  checked.contents = std::move(contents);
  return checked;
}

absl::StatusOr<CheckedPair> LoadCheckedPair(const KeyPairPaths& paths, absl::Time now) {
  struct stat info = {};
  if (stat(paths.key.c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        paths.key, " has mode ", absl::StrFormat("%04o", info.st_mode & 07777), "; expected 0600"));
  }
  KeyPairContents contents;
  ASSIGN_OR_RETURN(FileContent certificate, ReadFile(paths.certificate, kMaxPemBytes));
  ASSIGN_OR_RETURN(FileContent key, ReadFile(paths.key, kMaxPemBytes));
  ASSIGN_OR_RETURN(FileContent authority, ReadFile(paths.authority, kMaxPemBytes));
  contents.certificate_pem = std::move(certificate.text);
  contents.key_pem = std::move(key.text);
  contents.authority_pem = std::move(authority.text);
  if (!paths.crl.empty()) {
    ASSIGN_OR_RETURN(contents.crl_pem, ReadList(paths.crl));
  }
  return CheckPair(std::move(contents), paths, now);
}

absl::StatusOr<RevocationList> LoadRevocationList(const KeyPairPaths& paths, absl::Time now) {
  ASSIGN_OR_RETURN(const FileContent file, ReadFile(paths.authority, kMaxPemBytes));
  ASSIGN_OR_RETURN(const CertificatePtr authority, ParseCertificatePem(file.text, paths.authority));
  ASSIGN_OR_RETURN(const std::string text, ReadList(paths.crl));
  ASSIGN_OR_RETURN(const CrlPtr crl, ParseCrlPem(text, paths.crl));
  return CheckList(crl.get(), authority.get(), paths, now);
}

absl::Status PublishPair(const std::string& dir, const CheckedPair& pair) {
  RETURN_IF_ERROR(MakeDirectories(dir, 0700));
  ASSIGN_OR_RETURN(const CertificatePtr authority,
                   ParseCertificatePem(pair.contents.authority_pem, "the authority"));
  std::error_code error;
  const std::string link = absl::StrCat(dir, "/current");
  const uint64_t current =
      GenerationNumber(std::filesystem::read_symlink(link, error).filename().string());
  std::vector<uint64_t> numbers;
  uint64_t newest = current;
  std::filesystem::directory_iterator it(dir, error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("listing ", dir));
  for (; !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    const uint64_t number = GenerationNumber(it->path().filename().string());
    if (number > 0) numbers.push_back(number);
    newest = std::max(newest, number);
  }
  const std::string name = GenerationName(newest + 1);
  const std::string made = absl::StrCat(dir, "/", name);
  RETURN_IF_ERROR(MakeDirectories(made, 0700));
  RETURN_IF_ERROR(MakeDirectories(absl::StrCat(made, "/crl"), 0700));
  RETURN_IF_ERROR(
      WriteFileAtomically(absl::StrCat(made, "/tls.crt"), pair.contents.certificate_pem, {}));
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(made, "/tls.key"), pair.contents.key_pem, {}));
  RETURN_IF_ERROR(
      WriteFileAtomically(absl::StrCat(made, "/ca.crt"), pair.contents.authority_pem, {}));
  if (!pair.contents.crl_pem.empty()) {
    // The name by which OpenSSL looks for the list of an issuer in a directory.
    int hashed = 0;
    const unsigned long hash =
        X509_NAME_hash_ex(X509_get_subject_name(authority.get()), nullptr, nullptr, &hashed);
    if (hashed != 1) return OpensslError("hashing the authority's name");
    RETURN_IF_ERROR(WriteFileAtomically(absl::StrFormat("%s/crl/%08x.r0", made, hash),
                                        pair.contents.crl_pem, {}));
  }
  const std::string next = absl::StrCat(dir, "/next");
  RETURN_IF_ERROR(RemoveFile(next));
  if (symlink(name.c_str(), next.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("linking ", next));
  }
  if (rename(next.c_str(), link.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("turning ", link));
  }
  for (const uint64_t number : numbers) {
    if (number == current) continue;
    std::filesystem::remove_all(absl::StrCat(dir, "/", GenerationName(number)), error);
  }
  return absl::OkStatus();
}

}  // namespace om
