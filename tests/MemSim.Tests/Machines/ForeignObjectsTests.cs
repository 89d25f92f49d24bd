using System.Reflection;
using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Machines;

/// <summary>An object of one machine handed to another is refused by a word, and both machines stay as they were: every public method that takes one is tried.</summary>
public sealed class ForeignObjectsTests
{
    private static readonly Type[] Tied =
    [
        typeof(Cpu), typeof(Page), typeof(Process), typeof(KernelTask), typeof(OpenFile), typeof(SimFile), typeof(Vma), typeof(KmemCache), typeof(KmemCache<long>), typeof(Mempool), typeof(Zone), typeof(Node),
        typeof(MemoryDescriptor), typeof(CmaArea), typeof(PerCpuVar<int>), typeof(PageTables), typeof(SwapArea), typeof(DmaDevice), typeof(BlockDevice),
    ];

    /// <summary>Methods of which no machine is to be asked, each with the reason.</summary>
    private static readonly Dictionary<string, string> Exempt = new()
    {
        ["Page.Equals"] = "pages of two machines are unequal, which is the answer",
        ["PerCpuVar.Equals"] = "as above",
        ["SimFileSystem.TryFind"] = "hands out, takes none",
        ["Machine.TryGetPage"] = "hands out, takes none",
    };

    /// <summary>Reflection cannot pass spans, so these are called by hand.</summary>
    private static readonly Dictionary<string, Action<World, World>> WithSpans = new()
    {
        ["CpuSlabCalls.AllocBulk(cache)"] = (a, b) => a.Cpu.Slab.AllocBulk(b.Cache, Gfp.Kernel, new VirtualAddress[2]),
        ["CpuSlabCalls.FreeBulk(cache)"] = (a, b) => a.Cpu.Slab.FreeBulk(b.Cache, new[] { a.Object }),
        ["CpuPages.AllocPagesBulk(pages)"] = (a, b) => throw new ArgumentException("receives pages: not for another machine"),
        ["CpuPages.FreePagesBulk(pages)"] = (a, b) => a.Cpu.Pages.FreePagesBulk([b.Page]),
        ["CpuFiles.Read(file)"] = (a, b) => a.Cpu.Files.Read(b.File, 0, new byte[8]),
        ["CpuFiles.Write(file)"] = (a, b) => a.Cpu.Files.Write(b.File, 0, new byte[8]),
        ["Process.ProcessMadvise(target)"] = (a, b) => a.Process.ProcessMadvise(b.Process, [], MemoryAdvice.Cold),
        ["CpuVm.Vmap(pages)"] = (a, b) => a.Cpu.Vm.Vmap([b.Page]),
        ["IdlePageTracking.Read(cpu)"] = (a, b) => _ = a.Machine.Reclaim.IdlePages.Read(b.Cpu, 0, new byte[8]),
        ["IdlePageTracking.Write(cpu)"] = (a, b) => _ = a.Machine.Reclaim.IdlePages.Write(b.Cpu, 0, new byte[8]),
        ["PageTables.Map(cpu)"] = (a, b) => a.Tables.Map(b.Cpu, new VirtualAddress(1 << 20), [a.Page], PageProtection.Kernel),
        ["PageTables.Map(pages)"] = (a, b) => a.Tables.Map(a.Cpu, new VirtualAddress(1 << 20), [b.Page], PageProtection.Kernel),
    };

    public static TheoryData<string> Methods() => [.. Cases().Select(c => c.Name).Concat(WithSpans.Keys).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Methods))]
    public void An_object_of_another_machine_is_refused_and_changes_neither(string name)
    {
        using World a = new();
        using World b = new();
        string before = a.Text();
        a.Text().Should().Be(b.Text(), "the same calls build the same machines");

        Action call = WithSpans.TryGetValue(name, out Action<World, World>? byHand) ? () => byHand(a, b) : () => Invoke(Cases().Single(c => c.Name == name), a, b);

        call.Should().Throw<Exception>().Which.Message.Should().Contain("another machine");
        a.Text().Should().Be(before);
        b.Text().Should().Be(before);
        a.Machine.Verify();
        b.Machine.Verify();
    }

    [Fact]
    public void Statics_of_process_migration_refuse_a_foreign_cpu()
    {
        using World a = new();
        using World b = new();
        FluentActions.Invoking(() => a.Process.MovePages(b.Cpu, [a.Vma.Start], [0], new int[1])).Should().Throw<ArgumentException>().WithMessage("*another machine*");
        FluentActions.Invoking(() => a.Process.PinPages(b.Cpu, a.Vma.Start, new Page[1])).Should().Throw<ArgumentException>().WithMessage("*another machine*");
        FluentActions.Invoking(() => a.Cpu.UnpinPages([b.Page])).Should().Throw<ArgumentException>();
        FluentActions.Invoking(() => a.Process.MigratePages(b.Cpu, [0], [0])).Should().Throw<ArgumentException>().WithMessage("*another machine*");
        FluentActions.Invoking(() => a.Process.MbindAndMove(b.Cpu, a.Vma.Start, 4096, MemoryPolicy.Bind(0))).Should().Throw<ArgumentException>().WithMessage("*another machine*");
        a.Machine.Verify();
        b.Machine.Verify();
    }

    [Fact]
    public void Every_method_that_takes_something_of_a_machine_is_tried()
    {
        Cases().Count.Should().BeGreaterThan(90);
        using World world = new();
        HashSet<Type> reachable = [.. world.Things.Keys];
        Type[] unreachable =
        [
            .. typeof(Machine).Assembly.GetExportedTypes()
                .Where(t => !t.IsInterface && !t.IsAbstract && !typeof(Delegate).IsAssignableFrom(t) && !reachable.Any(r => t.IsAssignableFrom(r) || (r.IsGenericType && r.GetGenericTypeDefinition() == t)))
                .Where(t => MethodsOf(t).Any(m => m.GetParameters().Any(p => Tied.Contains(p.ParameterType)))),
        ];

        // What is left belongs to no machine: sinks listen to whom they are attached to, requests are plain values.
        unreachable.Select(t => t.Name).Should().BeSubsetOf(["FtraceTextSink", "NoReclaim", "ReclaimRequest"]);
    }

    private static IEnumerable<MethodInfo> MethodsOf(Type type) =>
        type.GetMethods(BindingFlags.Public | BindingFlags.Instance).Where(m => !m.IsSpecialName && m.DeclaringType!.Assembly == typeof(Machine).Assembly);

    private static List<Case> Cases()
    {
        List<Case> cases = [];
        using World world = new();
        foreach (Type type in world.Things.Keys)
        {
            foreach (MethodInfo declared in MethodsOf(type))
            {
                MethodInfo method = declared.IsGenericMethodDefinition ? declared.MakeGenericMethod(typeof(int)) : declared;
                ParameterInfo[] parameters = method.GetParameters();
                string owner = type.Name.Split('`')[0];
                if (Exempt.ContainsKey($"{owner}.{method.Name}") || Exempt.ContainsKey($"{method.DeclaringType!.Name}.{method.Name}"))
                {
                    continue;
                }

                foreach (ParameterInfo parameter in parameters.Where(p => Tied.Contains(p.ParameterType)))
                {
                    string name = $"{owner}.{method.Name}({parameter.Name})";
                    if (parameters.Any(p => p.ParameterType.IsByRefLike))
                    {
                        WithSpans.Should().ContainKey(name, "it takes a span and must be called by hand");
                        continue;
                    }

                    int twin = cases.Count(c => c.Name == name || c.Name.StartsWith(name + " ", StringComparison.Ordinal));
                    cases.Add(new Case(twin == 0 ? name : $"{name} {twin + 1}", type, method, parameter));
                }
            }
        }

        return cases;
    }

    private static void Invoke(Case @case, World a, World b)
    {
        object?[] arguments = [.. @case.Method.GetParameters().Select(p => p.Position == @case.Parameter.Position ? b.Things[p.ParameterType] : a.ArgumentFor(p))];
        try
        {
            @case.Method.Invoke(a.Things[@case.Type], arguments);
        }
        catch (TargetInvocationException e)
        {
            throw e.InnerException!;
        }
    }

    private sealed record Case(string Name, Type Type, MethodInfo Method, ParameterInfo Parameter);

    /// <summary>A machine with one of everything.</summary>
    private sealed class World : IDisposable
    {
        private readonly BlockDevice _disk = new("disk", "16M");
        private readonly BlockDevice _swapDevice = new("swap", "16M");

        public World()
        {
            Machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2).WithCma("camera", "16M"));
            Cpu = Machine.Cpus[0];
            Page = Cpu.AllocPages(Gfp.Kernel, 0);
            Cache = Machine.Slab.CreateCache("things", 64);
            Object = Cpu.Alloc(Cache, Gfp.Kernel);
            KmemCache<long> typed = Machine.Slab.CreateCache<long>("longs");
            typed.Alloc(Cpu, Gfp.Kernel);
            Mempool = Machine.Slab.CreateMempool(2, 64)!;
            Element = Mempool.Alloc(Cpu, Gfp.Kernel);
            Process = Machine.CreateProcess("victim");
            Process.Mm.Mmap(65536, Prot.Read | Prot.Write);
            Vma = Process.Mm.Areas.First();
            DiskFileSystem disk = Machine.Files.Mount(_disk);
            File = disk.Create("file").Value;
            Tables = Machine.Mmu.CreateTables(Cpu)!;
            SwapArea area = Machine.Swap.SwapOn(_swapDevice).Value;
            PerCpuVar<int> variable = Machine.PerCpu.AllocPercpu<int>();
            DmaDevice device = Machine.Hotplug.AddDevice("camera", 32);
            MovablePool pool = Machine.Migration.CreateMovablePool();
            pool.Allocate(Cpu);
            KernelTask task = new("worker", 77);
            KernelStack stack = Machine.Stacks.Create(Cpu, task)!;
            Cgroup cgroup = Machine.Cgroups.Create("pod");
            LruObjectCache<int, long> objects = new(typed, key => key);
            objects.Get(Cpu, 1);
            Things = new()
            {
                [typeof(Machine)] = Machine,
                [typeof(Cpu)] = Cpu,
                [typeof(Page)] = Page,
                [typeof(Zone)] = Page.Zone,
                [typeof(Node)] = Machine.Nodes[0],
                [typeof(KmemCache)] = Cache,
                [typeof(KmemCache<long>)] = typed,
                [typeof(Mempool)] = Mempool,
                [typeof(SlabAllocator)] = Machine.Slab,
                [typeof(Process)] = Process,
                [typeof(Cgroup)] = cgroup,
                [typeof(CgroupTree)] = Machine.Cgroups,
                [typeof(KernelTask)] = task,
                [typeof(MemoryDescriptor)] = Process.Mm,
                [typeof(Vma)] = Vma,
                [typeof(OpenFile)] = File,
                [typeof(SimFile)] = File.File,
                [typeof(DiskFileSystem)] = disk,
                [typeof(TmpFileSystem)] = Machine.Files.MountTmpfs(),
                [typeof(HugetlbFileSystem)] = Machine.Files.MountHugetlbfs(),
                [typeof(BlockDevice)] = _disk,
                [typeof(SwapSpace)] = Machine.Swap,
                [typeof(SwapArea)] = area,
                [typeof(PageTables)] = Tables,
                [typeof(Mmu)] = Machine.Mmu,
                [typeof(PerCpuAllocator)] = Machine.PerCpu,
                [typeof(PerCpuVar<int>)] = variable,
                [typeof(PerCpuPointer)] = variable.Pointer,
                [typeof(DmaDevice)] = device,
                [typeof(MemoryHotplug)] = Machine.Hotplug.Memory,
                [typeof(MemoryFailures)] = Machine.Hotplug.Failures,
                [typeof(MovablePool)] = pool,
                [typeof(NumaBalancing)] = Machine.Migration.Balancing,
                [typeof(MemoryTiers)] = Machine.Migration.Tiers,
                [typeof(IdlePageTracking)] = Machine.Reclaim.IdlePages,
                [typeof(KsmSettings)] = Machine.Processes.Ksm,
                [typeof(MovableOwner)] = pool.Registration,
                [typeof(CmaArea)] = Machine.Cma.Get("camera")!,
                [typeof(KernelStack)] = stack,
                [typeof(KernelStacks)] = Machine.Stacks,
                [typeof(Fixmap)] = Machine.Memory.Fixmap,
                [Machine.HugePages.GetType()] = Machine.HugePages,
                [typeof(HugetlbPool)] = Machine.Hugetlb.Pool,
                [typeof(Khugepaged)] = Machine.HugePages.Khugepaged,
                [typeof(ProcFs)] = Machine.Proc,
                [typeof(LruObjectCache<int, long>)] = objects,
                [typeof(Zram)] = new Zram(Machine, "zram0", "16M"),
            };
            foreach (object owner in new object[] { Machine, Cpu })
            {
                foreach (PropertyInfo group in owner.GetType().GetProperties().Where(p => p.PropertyType.Name.StartsWith(owner.GetType().Name, StringComparison.Ordinal)))
                {
                    Things.TryAdd(group.PropertyType, group.GetValue(owner)!);
                }
            }
        }

        public Machine Machine { get; }

        public Cpu Cpu { get; }

        public Page Page { get; }

        public KmemCache Cache { get; }

        public VirtualAddress Object { get; }

        public Mempool Mempool { get; }

        public VirtualAddress Element { get; }

        public Process Process { get; }

        public Vma Vma { get; }

        public OpenFile File { get; }

        public PageTables Tables { get; }

        public Dictionary<Type, object> Things { get; }

        public object? ArgumentFor(ParameterInfo parameter)
        {
            Type type = parameter.ParameterType.IsByRef ? parameter.ParameterType.GetElementType()! : parameter.ParameterType;
            return parameter.HasDefaultValue && !Tied.Contains(type) ? parameter.DefaultValue ?? (type.IsValueType ? Activator.CreateInstance(type) : null)
                : Things.TryGetValue(type, out object? thing) ? thing
                : type == typeof(Gfp) ? Gfp.Kernel
                : type == typeof(VirtualAddress) ? parameter.Name switch { "obj" => Object, "element" => Element, _ => new VirtualAddress(1 << 20) }
                : type == typeof(Pfn) ? Page.Pfn
                : type == typeof(string) ? parameter.Name == "attribute" ? "order" : "file"
                : type == typeof(int) ? parameter.Name is "order" or "number" or "page" or "node" ? 0 : 1
                : type == typeof(long) ? 1L
                : type == typeof(ulong) ? 4096UL
                : type == typeof(PageProtection) ? PageProtection.Kernel
                : type.IsValueType ? Activator.CreateInstance(type)
                : null;
        }

        public string Text() =>
            $"{Machine.StateText()}\n{Machine.Proc.VmallocInfo}\n{Machine.Slab.SlabInfo}\n{Machine.Processes.Count}\n{Machine.Mmu.TablePages}\n{Machine.PerCpu.LiveAllocations}\n{File.IsClosed}\n{Machine.Swap.Areas.Count}\n{Process.State}";

        public void Dispose()
        {
            Machine.Dispose();
            _disk.Dispose();
            _swapDevice.Dispose();
        }
    }
}
