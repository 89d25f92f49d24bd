#:project ../../src/MemSim/MemSim.csproj
using MemSim;

using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithSysctl("vm.overcommit_memory", "1"));
Cpu cpu = machine.Cpus[0];
Process editor = Start("editor", megabytes: 10);
Process database = Start("database", megabytes: 30);
database.OomScoreAdj = -1000;                       // never this one
Process shell = Start("shell", megabytes: 1);
foreach (Process p in (Process[])[editor, database, shell])
{
    Console.WriteLine($"pid {p.Pid} {p.Mm.ResidentPages,6} pages  oom_score_adj {p.OomScoreAdj,5}  oom_score {p.OomScore}");
}

// The shell starts something that never stops asking. There is no swap.
Process hog = Start("hog", megabytes: 0);
using (cpu.Run(hog))
{
    VirtualAddress memory = hog.Mm.Mmap(256 << 20, Prot.Read | Prot.Write);
    for (long at = 0; at < 256 << 20; at += 4096)
    {
        if (cpu.User.PutUser(memory + at, at) != Errno.None)
        {
            Console.WriteLine($"after {at >> 20} MiB a write of the hog failed");
            break;
        }
    }
}

Console.WriteLine($"alive: editor {editor.IsAlive}, database {database.IsAlive}, shell {shell.IsAlive}, hog {hog.IsAlive}");
string[] report = machine.Oom.LastReport!.Split('\n');
foreach (string line in report.Where(l => l.Contains("invoked") || l.Contains("total_vm") || l.Contains("oom-kill:") || l.StartsWith("[", StringComparison.Ordinal) || l.Contains("Killed")))
{
    Console.WriteLine(line);
}

Process Start(string name, int megabytes)
{
    Process process = machine.CreateProcess(name);
    using (cpu.Run(process))
    {
        VirtualAddress memory = megabytes == 0 ? default : process.Mm.Mmap(megabytes << 20, Prot.Read | Prot.Write);
        for (long at = 0; at < megabytes << 20; at += 4096)
        {
            cpu.Write(memory + at, at);
        }
    }

    return process;
}
