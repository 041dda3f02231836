import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.StatementSet;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;

/**
 * Runs scripts of `gateway derive flink` with Flink: `SqlRunner [--local] [OPTION=VALUE]… FILE…`. Each file has a database of its own,
 * and all that they insert is one job. Options are those of Flink's configuration. In a cluster it is the job's entry class; with
 * `--local`, and Flink's jars in the class path, it is a program that runs the job in its own JVM until it ends.
 */
public class SqlRunner {
    public static void main(String[] arguments) throws Exception {
        if (!Arrays.asList(arguments).contains("--local")) {
            run(arguments);
            return;
        }
        try {
            run(arguments).await();
        } catch (Throwable error) {
            error.printStackTrace();
            for (Throwable cause = error; cause != null; cause = cause.getCause()) System.err.println(cause.getMessage());
            // Threads of the cluster would keep a process whose job has failed.
            System.exit(1);
        }
        System.exit(0);
    }

    private static TableResult run(String[] arguments) throws Exception {
        Configuration options = new Configuration();
        String[] files = Arrays.stream(arguments).filter(one -> !one.contains("=") && !one.startsWith("--")).toArray(String[]::new);
        for (String argument : arguments) {
            int sign = argument.indexOf('=');
            if (sign > 0) options.setString(argument.substring(0, sign), argument.substring(sign + 1));
        }
        TableEnvironment tables = TableEnvironment.create(
            EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(options).build());
        StatementSet inserts = tables.createStatementSet();
        for (int number = 0; number < files.length; number++) {
            tables.executeSql("CREATE DATABASE file_" + number);
            tables.useDatabase("file_" + number);
            for (String statement : Files.readString(Path.of(files[number])).split(";\n")) {
                String sql = statement.replaceAll("(?m)^--.*$", "").strip();
                try {
                    execute(sql, tables, inserts);
                } catch (Exception error) {
                    throw new IllegalArgumentException(files[number] + ": " + error.getMessage() + "\n" + sql, error);
                }
            }
        }
        return inserts.execute();
    }

    private static void execute(String sql, TableEnvironment tables, StatementSet inserts) {
        if (sql.startsWith("SET ")) {
            String[] pair = sql.substring(4).replace("'", "").split("=", 2);
            tables.getConfig().set(pair[0].strip(), pair[1].strip());
        } else if (sql.startsWith("INSERT ")) {
            inserts.addInsertSql(sql);
        } else if (!sql.isEmpty()) {
            tables.executeSql(sql);
        }
    }
}
