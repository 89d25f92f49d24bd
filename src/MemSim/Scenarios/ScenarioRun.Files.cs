namespace MemSim.Scenarios;

/// <content>Files: they lie on a simulated disk one after the other, and are there before the scenario starts.</content>
internal sealed partial class ScenarioRun
{
    private DiskFileSystem? _fileSystem;

    private void CheckFiles()
    {
        foreach (ScenarioPhase phase in _scenario.Phases)
        {
            foreach ((string name, ProcessPlan plan, _) in phase.Processes)
            {
                if (plan.Steps.FirstOrDefault(s => s.Name.Length != 0 && !_scenario.Files.ContainsKey(s.Name)) is { } step)
                {
                    throw new ArgumentException($"process '{name}' uses file '{step.Name}', which the scenario does not describe");
                }
            }
        }
    }

    private void MakeFiles()
    {
        if (_scenario.Files.Count == 0)
        {
            return;
        }

        long pages = _scenario.Files.Values.Sum();

        // Room for what a file system needs besides.
        BlockDevice disk = new("vda", ByteSize.FromPages(pages + (pages / 8) + 256), _scenario.DiskCosts);
        _fileSystem = _machine.Files.Mount(disk);
        long at = 0;
        foreach ((string name, long size) in _scenario.Files)
        {
            Result<OpenFile> made = _fileSystem.Adopt(name, at, size << PageGeometry.PageShift);
            if (!made.Succeeded)
            {
                throw new InvalidOperationException($"file '{name}' cannot be made ({made.Error})");
            }

            made.Value.Close(_machine.Cpus[0]);
            at += size;
        }
    }

    private void DeleteFiles()
    {
        if (_fileSystem is null)
        {
            return;
        }

        foreach (string name in _scenario.Files.Keys)
        {
            _ = _fileSystem.Delete(_machine.Cpus[0], name);
        }
    }

    private OpenFile? Open(ScenarioActor actor, string name, OpenMode mode)
    {
        Result<OpenFile> opened = _fileSystem!.Open(name, mode);
        Refused(actor, !opened.Succeeded);
        return opened.Succeeded ? opened.Value : null;
    }

    private Result<VirtualAddress> MapFile(ScenarioActor actor, ScenarioStep step, long pages)
    {
        if (Open(actor, step.Name, step.IsShared ? OpenMode.ReadWrite : OpenMode.Read) is not { } file)
        {
            return Errno.ENOENT;
        }

        Result<VirtualAddress> mapped = actor.Process.Mm.Mmap(default, (long)pages << PageGeometry.PageShift, Prot.Read | Prot.Write, step.IsShared ? MapFlags.Shared : MapFlags.Private, file);
        file.Close(actor.Cpu);
        return mapped;
    }

    /// <summary>Some calls of reading or writing a file from start to end.</summary>
    private void StreamSome(ScenarioActor actor, ScenarioStep step)
    {
        bool writes = step.Kind == StepKind.WriteFile;
        long fileBytes = _scenario.Files[step.Name] << PageGeometry.PageShift;
        if (!actor.HasBegun)
        {
            actor.HasBegun = true;
            actor.Left = ScenarioSize.Chunks(_scenario.Files[step.Name], step.Pages) * step.Count;
            actor.Position = 0;
            actor.File = Open(actor, step.Name, writes ? OpenMode.ReadWrite : OpenMode.Read);
            actor.Buffer = new byte[step.Pages << PageGeometry.PageShift];
        }

        // A turn is worth as much as if each page were touched.
        for (long i = Math.Max(1, _turn / step.Pages); i > 0 && actor.Left > 0 && actor.File is { } file; i--)
        {
            actor.Left--;
            _touches++;
            actor.Tree.Touches++;
            int bytes = (int)Math.Min(actor.Buffer!.Length, fileBytes - actor.Position);
            Result<int> done = writes ? actor.Cpu.Files.Write(file, actor.Position, actor.Buffer.AsSpan(0, bytes)) : actor.Cpu.Files.Read(file, actor.Position, actor.Buffer.AsSpan(0, bytes));
            Refused(actor, !done.Succeeded);
            actor.Position = actor.Position + bytes >= fileBytes ? 0 : actor.Position + bytes;
        }

        if (actor.Left == 0 || actor.File is null)
        {
            CloseFile(actor);
            actor.NextStep();
        }
    }

    private static void CloseFile(ScenarioActor actor)
    {
        actor.File?.Close(actor.Cpu);
        actor.File = null;
        actor.Buffer = null;
    }
}
