#include <sys/resource.h>
#include <unistd.h>
#include <malloc.h>
#include <cstdio>
#include <fstream>
#include <iostream>
#include "agent/sync/source.h"
#include "datastore/remote/remote_store.h"
#include "tests/support/run_until.h"
#include "proto/transport.h"
using namespace margay; using namespace std::chrono_literals;
static void mem(const char* what){ std::ifstream f("/proc/self/status"); std::string l; std::string out; while(std::getline(f,l)) if(l.rfind("VmRSS",0)==0||l.rfind("RssAnon",0)==0||l.rfind("VmHWM",0)==0) out+=l+"  "; std::printf("%s: %s\n",what,out.c_str()); }
int main(int argc,char**argv){
  std::string mode=argv[1], addr=argv[2], d=argc>3?argv[3]:"";
  if (argc>5) mallopt(M_ARENA_MAX, 1);
  AsioLoop loop("tool");
  const auto t0=loop.now();
  auto el=[&]{return std::chrono::duration<double>(loop.now()-t0).count();};
  mem("start");
  if(mode=="load"){
    auto s=datastore::make_remote_store(loop,{addr,{},60000ms}); if(!s.ok()){puts(s.error().message().c_str());return 1;}
    std::vector<datastore::Write> w; std::string l; while(std::getline(std::cin,l)){auto t=l.find('\t'); w.push_back({datastore::Write::Kind::put,l.substr(0,t),l.substr(t+1),{}});}
    std::printf("%zu writes, read at %.3f\n",w.size(),el()); bool done=false; size_t ok=0;
    (*s)->submit(std::move(w),[&](auto r){done=true; for(auto&x:r) ok+=x.ok();});
    if(!run_until(loop,[&]{return done;},60s)) puts("timeout");
    std::printf("ok %zu at %.3f s\n",ok,el()); return 0; }
  sync::TyphaConfig c; c.address=addr; c.node_name="bench";
  if(!d.empty()&&d!="-"){c.ca_file=d+"/ca.crt";c.cert_file=d+"/client.crt";c.key_file=d+"/client.key";c.server_cn="calico-typha";}
  bool insync=false; size_t n=0,bytes=0;
  auto s=sync::make_typha_source(loop,c,{[&](auto&&u){n+=u.size(); for(auto&x:u) bytes+=x.value.size();},[&]{insync=true;},[&](const sync::Status&st){ if(!st.connected) std::printf("status %s\n",st.error.c_str());}});
  if(!s.ok()){puts(s.error().message().c_str());return 1;}
  if(!run_until(loop,[&]{return insync;},60s)) puts("timeout");
  struct rusage ru; getrusage(RUSAGE_SELF,&ru);
  std::printf("in sync: %zu updates %zu bytes at %.3f s, cpu %.3f\n",n,bytes,el(),ru.ru_utime.tv_sec+ru.ru_utime.tv_usec/1e6+ru.ru_stime.tv_sec+ru.ru_stime.tv_usec/1e6);
  mem("after"); malloc_trim(0); mem("trimmed");
  if(mode=="stay") {size_t last=0; (void)run_until(loop,[&]{ if(n!=last){last=n;} return false;},std::chrono::seconds(atoi(argv[4])));}
  return 0; }
